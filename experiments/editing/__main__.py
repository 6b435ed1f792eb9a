"""``python -m experiments.editing``."""

from experiments.editing.measure import Measured, measure
from experiments.editing.settings import EditingSettings
from experiments.editing.summary import summarise
from pkv_interp.run.command import experiment_command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("editing", EditingSettings, Measured, measure, summarise)
main = experiment_command(EXPERIMENT)

if __name__ == "__main__":
    main()
