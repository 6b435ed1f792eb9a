"""The experiment, put together."""

from experiments.anatomy.measure import Measured, measure
from experiments.anatomy.settings import AnatomySettings
from experiments.anatomy.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("anatomy", AnatomySettings, Measured, measure, summarise)
