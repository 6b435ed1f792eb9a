"""The experiment, put together."""

from experiments.tau2.measure import Measured, measure
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("tau2", Tau2Settings, Measured, measure, summarise)
