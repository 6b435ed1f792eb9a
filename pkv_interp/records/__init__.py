"""What a run leaves: one JSON record, arrays beside it, and the way back to both."""

from pkv_interp.records.check import Problem, check
from pkv_interp.records.load import arrays, headlines, load, load_records, newest_of_each_model, read
from pkv_interp.records.published import beside_published, published
from pkv_interp.records.run import ControlFailure, Interrupted, Run
from pkv_interp.records.schema import Competence, Control, Environment, HeadlineFigure, Row, RunRecord
from pkv_interp.records.store import RunStore

__all__ = [
    "Competence",
    "Control",
    "ControlFailure",
    "Environment",
    "HeadlineFigure",
    "Interrupted",
    "Problem",
    "Row",
    "Run",
    "RunRecord",
    "RunStore",
    "arrays",
    "beside_published",
    "check",
    "headlines",
    "load",
    "load_records",
    "newest_of_each_model",
    "published",
    "read",
]
