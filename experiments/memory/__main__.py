"""``python -m experiments.memory``."""

from experiments import find
from experiments.memory.settings import MemorySettings
from pkv_interp.run.command import experiment_command

main = experiment_command("memory", MemorySettings, find)

if __name__ == "__main__":
    main()
