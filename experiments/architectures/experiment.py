"""The experiment, put together."""

from experiments.architectures.measure import Measured, measure
from experiments.architectures.settings import ArchitecturesSettings
from experiments.architectures.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("architectures", ArchitecturesSettings, Measured, measure, summarise)
