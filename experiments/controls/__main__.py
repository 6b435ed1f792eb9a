"""``python -m experiments.controls``."""

from experiments.controls.measure import Measured, measure
from experiments.controls.settings import ControlsSettings
from experiments.controls.summary import summarise
from pkv_interp.run.command import experiment_command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("controls", ControlsSettings, Measured, measure, summarise)
main = experiment_command(EXPERIMENT)

if __name__ == "__main__":
    main()
