"""The experiment, put together."""

from experiments.blast_radius.measure import Measured, measure
from experiments.blast_radius.settings import BlastRadiusSettings
from experiments.blast_radius.summary import summarise
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("blast_radius", BlastRadiusSettings, Measured, measure, summarise)
