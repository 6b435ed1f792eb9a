"""``python -m experiments.tau2``."""

from experiments import find
from experiments.tau2.settings import Tau2Settings
from pkv_interp.run.command import experiment_command

main = experiment_command("tau2", Tau2Settings, find)

if __name__ == "__main__":
    main()
