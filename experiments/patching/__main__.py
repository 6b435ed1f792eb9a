"""``python -m experiments.patching``."""

from experiments.patching.measure import Measured, measure
from experiments.patching.settings import PatchingSettings
from experiments.patching.summary import summarise
from pkv_interp.run.command import experiment_command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("patching", PatchingSettings, Measured, measure, summarise)
main = experiment_command(EXPERIMENT)

if __name__ == "__main__":
    main()
