"""``python -m experiments.train_vision``."""

from experiments import find
from experiments.train_vision.settings import TrainVisionSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("train_vision", TrainVisionSettings, find)

if __name__ == "__main__":
    main()
