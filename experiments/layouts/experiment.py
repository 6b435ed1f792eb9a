"""The experiment, put together."""

from experiments.layouts.measure import Measured, measure
from experiments.layouts.settings import LayoutsSettings
from experiments.layouts.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("layouts", LayoutsSettings, Measured, measure, summarise)
