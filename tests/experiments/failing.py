"""Which controls of a run or of a summary fail."""

from __future__ import annotations

import re
from collections.abc import Callable

from pkv_interp.records import RunRecord
from pkv_interp.records.controls import ControlFailure
from pkv_interp.run.report import Report


def failed(act: Callable[[], RunRecord | Report]) -> set[str]:
    """Names of the controls that fail; those that end a run are in the line that it ends with."""
    try:
        made = act()
    except ControlFailure as error:
        return set(re.findall(r"control '(\w+)'", str(error)))
    return {control.name for control in made.controls if not control.passed}
