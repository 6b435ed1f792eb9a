"""``python -m experiments.layouts``."""

from experiments import find
from experiments.layouts.settings import LayoutsSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("layouts", LayoutsSettings, find)

if __name__ == "__main__":
    main()
