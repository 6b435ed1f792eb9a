"""The experiment, put together."""

from experiments.memory.measure import Measured, measure
from experiments.memory.settings import MemorySettings
from experiments.memory.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("memory", MemorySettings, Measured, measure, summarise)
