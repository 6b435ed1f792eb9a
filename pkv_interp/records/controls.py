"""Checks with known answers, and what their failure is."""

from collections.abc import Iterable

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.records.schema import Control


class ControlFailure(PkvError):
    """A control missed its known answer, so nothing else that the run measured can be trusted."""


def control(name: str, value: float, expected: float, tolerance: float, detail: str = "") -> Control:
    """A check with a known answer; whether it passed follows from its numbers.

    Args:
        name: of the check.
        value: what was measured.
        expected: the known answer.
        tolerance: how far off it may be.
        detail: of what and on how much.

    Raises:
        ControlFailure: the value is not finite.
    """
    if not np.isfinite(value):
        raise ControlFailure(
            f"control {name!r} measured {value}, expected {expected}", "look for an overflow in this dtype"
        )
    return Control(
        name=name,
        value=float(value),
        expected=expected,
        tolerance=tolerance,
        passed=bool(abs(value - expected) <= tolerance),
        detail=detail,
    )


def raise_for_controls(controls: Iterable[Control]) -> None:
    """Stop if a control has failed.

    Raises:
        ControlFailure: names the control, what was measured and what was expected.
    """
    for control in controls:
        if not control.passed:
            detail = f" ({control.detail})" if control.detail else ""
            raise ControlFailure(
                f"control {control.name!r} measured {control.value:.6g}, expected {control.expected:.6g} "
                f"within {control.tolerance:.3g}{detail}",
                "the engine does not do what it says on this model: try float32 and eager attention",
            )
