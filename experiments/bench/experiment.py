"""The experiment, put together."""

from experiments.bench.measure import Measured, measure
from experiments.bench.settings import BenchSettings
from experiments.bench.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("bench", BenchSettings, Measured, measure, summarise)
