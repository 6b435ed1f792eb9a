"""``python -m experiments.weight_edits``."""

from experiments import find
from experiments.weight_edits.settings import WeightEditsSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("weight_edits", WeightEditsSettings, find)

if __name__ == "__main__":
    main()
