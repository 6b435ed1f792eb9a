"""``python -m experiments.controls``."""

from experiments import find
from experiments.controls.settings import ControlsSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("controls", ControlsSettings, find)

if __name__ == "__main__":
    main()
