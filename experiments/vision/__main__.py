"""``python -m experiments.vision``."""

from experiments import find
from experiments.vision.settings import VisionSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("vision", VisionSettings, find)

if __name__ == "__main__":
    main()
