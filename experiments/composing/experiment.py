"""The experiment, put together."""

from experiments.composing.measure import Measured, measure
from experiments.composing.settings import ComposingSettings
from experiments.composing.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("composing", ComposingSettings, Measured, measure, summarise)
