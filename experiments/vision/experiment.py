"""The experiment, put together."""

from experiments.vision.measure import Measured, measure
from experiments.vision.settings import VisionSettings
from experiments.vision.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("vision", VisionSettings, Measured, measure, summarise)
