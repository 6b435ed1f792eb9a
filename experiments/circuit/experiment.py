"""The experiment, put together."""

from experiments.circuit.measure import Measured, measure
from experiments.circuit.settings import CircuitSettings
from experiments.circuit.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("circuit", CircuitSettings, Measured, measure, summarise)
