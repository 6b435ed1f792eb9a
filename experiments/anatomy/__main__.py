"""``python -m experiments.anatomy``."""

from experiments import find
from experiments.anatomy.settings import AnatomySettings
from pkv_interp.run.command import experiment_command

main = experiment_command("anatomy", AnatomySettings, find)

if __name__ == "__main__":
    main()
