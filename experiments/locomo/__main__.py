"""``python -m experiments.locomo path=DIR_OR_FILE``."""

from experiments import find
from experiments.locomo.settings import LocomoSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("locomo", LocomoSettings, find)

if __name__ == "__main__":
    main()
