"""``python -m experiments.keystone``."""

from experiments.keystone.measure import Measured, measure
from experiments.keystone.settings import KeystoneSettings
from experiments.keystone.summary import summarise
from pkv_interp.run.command import experiment_command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("keystone", KeystoneSettings, Measured, measure, summarise)
main = experiment_command(EXPERIMENT)

if __name__ == "__main__":
    main()
