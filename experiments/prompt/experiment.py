"""The experiment, put together."""

from experiments.prompt.measure import Measured, measure
from experiments.prompt.settings import PromptSettings
from experiments.prompt.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("prompt", PromptSettings, Measured, measure, summarise)
