"""``python -m experiments.patching``."""

from experiments import find
from experiments.patching.settings import PatchingSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("patching", PatchingSettings, find)

if __name__ == "__main__":
    main()
