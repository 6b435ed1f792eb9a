"""``python -m experiments.confirm``."""

from experiments import find
from experiments.confirm.settings import ConfirmSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("confirm", ConfirmSettings, find)

if __name__ == "__main__":
    main()
