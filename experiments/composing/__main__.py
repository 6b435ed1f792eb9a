"""``python -m experiments.composing``."""

from experiments import find
from experiments.composing.settings import ComposingSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("composing", ComposingSettings, find)

if __name__ == "__main__":
    main()
