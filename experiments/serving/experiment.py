"""The experiment, put together."""

from experiments.serving.measure import Measured, measure
from experiments.serving.settings import ServingSettings
from experiments.serving.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("serving", ServingSettings, Measured, measure, summarise)
