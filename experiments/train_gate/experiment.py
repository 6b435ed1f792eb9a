"""The experiment, put together."""

from experiments.train_gate.measure import Measured, measure
from experiments.train_gate.settings import TrainGateSettings
from experiments.train_gate.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("train_gate", TrainGateSettings, Measured, measure, summarise)
