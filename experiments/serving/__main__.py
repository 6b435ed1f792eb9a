"""``python -m experiments.serving``."""

from experiments import find
from experiments.serving.settings import ServingSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("serving", ServingSettings, find)

if __name__ == "__main__":
    main()
