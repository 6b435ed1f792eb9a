"""The experiment, put together."""

from experiments.origin.measure import Measured, measure
from experiments.origin.settings import OriginSettings
from experiments.origin.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("origin", OriginSettings, Measured, measure, summarise)
