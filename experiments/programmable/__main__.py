"""``python -m experiments.programmable``."""

from experiments import find
from experiments.programmable.settings import ProgrammableSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("programmable", ProgrammableSettings, find)

if __name__ == "__main__":
    main()
