"""``python -m experiments.bench``."""

from experiments import find
from experiments.bench.settings import BenchSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("bench", BenchSettings, find)

if __name__ == "__main__":
    main()
