"""``python -m experiments.weight_edits``."""

from experiments.weight_edits.measure import Measured, measure
from experiments.weight_edits.settings import WeightEditsSettings
from experiments.weight_edits.summary import summarise
from pkv_interp.run.command import experiment_command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("weight_edits", WeightEditsSettings, Measured, measure, summarise)
main = experiment_command(EXPERIMENT)

if __name__ == "__main__":
    main()
