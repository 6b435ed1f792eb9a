"""The experiment, put together."""

from experiments.audit.measure import Measured, measure
from experiments.audit.settings import AuditSettings
from experiments.audit.summary import summarise
from pkv_interp.run.reading import Reading

EXPERIMENT = Reading("audit", AuditSettings, Measured, measure, summarise)
