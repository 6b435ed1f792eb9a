"""``python -m experiments.keystone``."""

from experiments import find
from experiments.keystone.settings import KeystoneSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("keystone", KeystoneSettings, find)

if __name__ == "__main__":
    main()
