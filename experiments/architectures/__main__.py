"""``python -m experiments.architectures``."""

from experiments import find
from experiments.architectures.settings import ArchitecturesSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("architectures", ArchitecturesSettings, find)

if __name__ == "__main__":
    main()
