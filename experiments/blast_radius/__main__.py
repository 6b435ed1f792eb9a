"""``python -m experiments.blast_radius``."""

from experiments import find
from experiments.blast_radius.settings import BlastRadiusSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("blast_radius", BlastRadiusSettings, find)

if __name__ == "__main__":
    main()
