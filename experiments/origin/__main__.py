"""``python -m experiments.origin``."""

from experiments import find
from experiments.origin.settings import OriginSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("origin", OriginSettings, find)

if __name__ == "__main__":
    main()
