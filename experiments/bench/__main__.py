"""``python -m experiments.bench``."""

from experiments.bench.measure import Measured, measure
from experiments.bench.settings import BenchSettings
from experiments.bench.summary import summarise
from pkv_interp.run.command import experiment_command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("bench", BenchSettings, Measured, measure, summarise)
main = experiment_command(EXPERIMENT)

if __name__ == "__main__":
    main()
