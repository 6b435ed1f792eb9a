"""That servers told log-probabilities wherever a control reads them: a control over none cannot fail."""

from collections.abc import Sequence

from experiments.serving.measure import Measured
from experiments.serving.settings import FIELD_LAST, FULL
from pkv_interp.records.controls import control
from pkv_interp.records.schema import Control

#: Methods of a single update that are not held against the model, which would prefill the prompt whole.
_NOT_HELD = (FULL, FIELD_LAST)


def told_controls(found: Measured) -> list[Control]:
    """``same_under_load`` and ``updates_exact`` rest on what is counted here.

    They stand in the summary, so that a record that is made anew from its measurements is held to them too.

    Args:
        found: by the experiment.
    """
    runs = [*found.capacity.all(), *found.load.all()]
    under_load = [one.error for run in runs for one in run.requests if not one.failed]
    updates = [
        one.error
        for case in found.updates.all()
        for method, one in case.methods.items()
        if method not in _NOT_HELD and not one.failed
    ]
    lines = [_told("told_under_load", under_load, "answers under load")]
    # There are none where no length was asked for that the model takes.
    return [*lines, _told("told_in_updates", updates, "single updates")] if updates else lines


def _told(name: str, errors: Sequence[float | None], what: str) -> Control:
    untold = sum(one is None for one in errors)
    detail = f"without a log-probability to hold against the model, of {len(errors)} {what}"
    return control(name, float(untold), 0.0, 0.0, detail)
