"""``python -m experiments.prompt``."""

from experiments import find
from experiments.prompt.settings import PromptSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("prompt", PromptSettings, find)

if __name__ == "__main__":
    main()
