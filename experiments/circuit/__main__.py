"""``python -m experiments.circuit``."""

from experiments import find
from experiments.circuit.settings import CircuitSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("circuit", CircuitSettings, find)

if __name__ == "__main__":
    main()
