"""The experiment, put together."""

from experiments.keystone.measure import Measured, measure
from experiments.keystone.settings import KeystoneSettings
from experiments.keystone.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("keystone", KeystoneSettings, Measured, measure, summarise)
