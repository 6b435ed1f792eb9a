"""The experiment, put together."""

from experiments.controls.measure import Measured, measure
from experiments.controls.settings import ControlsSettings
from experiments.controls.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("controls", ControlsSettings, Measured, measure, summarise)
