"""``python -m experiments.editing``."""

from experiments import find
from experiments.editing.settings import EditingSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("editing", EditingSettings, find)

if __name__ == "__main__":
    main()
