"""The experiment, put together."""

from experiments.editing.measure import Measured, measure
from experiments.editing.settings import EditingSettings
from experiments.editing.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("editing", EditingSettings, Measured, measure, summarise)
