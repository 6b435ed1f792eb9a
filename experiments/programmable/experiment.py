"""The experiment, put together."""

from experiments.programmable.measure import Measured, measure
from experiments.programmable.settings import ProgrammableSettings
from experiments.programmable.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("programmable", ProgrammableSettings, Measured, measure, summarise)
