"""``python -m experiments.composing``."""

from experiments.composing.measure import Measured, measure
from experiments.composing.settings import ComposingSettings
from experiments.composing.summary import summarise
from pkv_interp.run.command import experiment_command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("composing", ComposingSettings, Measured, measure, summarise)
main = experiment_command(EXPERIMENT)

if __name__ == "__main__":
    main()
