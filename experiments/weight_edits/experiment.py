"""The experiment, put together."""

from experiments.weight_edits.measure import Measured, measure
from experiments.weight_edits.settings import WeightEditsSettings
from experiments.weight_edits.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("weight_edits", WeightEditsSettings, Measured, measure, summarise)
