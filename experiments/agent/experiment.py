"""The experiment, put together."""

from experiments.agent.measure import Measured, measure
from experiments.agent.settings import AgentSettings
from experiments.agent.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("agent", AgentSettings, Measured, measure, summarise)
