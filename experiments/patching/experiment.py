"""The experiment, put together."""

from experiments.patching.measure import Measured, measure
from experiments.patching.settings import PatchingSettings
from experiments.patching.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("patching", PatchingSettings, Measured, measure, summarise)
