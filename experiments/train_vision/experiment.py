"""The experiment, put together."""

from experiments.train_vision.measure import Measured, measure
from experiments.train_vision.settings import TrainVisionSettings
from experiments.train_vision.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("train_vision", TrainVisionSettings, Measured, measure, summarise)
