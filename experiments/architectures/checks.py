"""Checks with known answers: nothing served is wrong, and an appended line is a line of the text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pkv_interp.tolerances import Tolerance

if TYPE_CHECKING:
    from experiments.architectures.measure import ModelArms


class Judge(Protocol):
    """Where checks go: a session."""

    @property
    def tolerance(self) -> Tolerance:
        """Allowed errors in the model's dtype."""
        ...

    def control(self, name: str, value: float, expected: float, tolerance: float, detail: str = "") -> None:
        """Note a check with a known answer."""
        ...

    def set_noise_floor(self, largest_difference: float) -> float:
        """Record the noise floor of margins."""
        ...


def judge(session: Judge, models: Sequence["ModelArms"]) -> None:
    """Judge what was measured.

    Raises:
        ControlFailure: an operation is neither exact nor refused, or appending is not reading on.
    """
    tried = [one for model in models for one in model.tried]
    if tried:
        wrong = sum(not one.exact and one.reason is None for one in tried)
        detail = f"operations that are served and wrong, of {len(tried)} on {len(models)} architectures"
        session.control("operations_exact_or_refused", float(wrong), 0.0, 0.0, detail)
    scenes = [scene for model in models for scene in model.scenes]
    worst = max(scene.appended for scene in scenes)
    detail = f"logits, a line after what was kept of a prompt against the whole text, {len(scenes)} edits"
    session.control("appended_equals_whole", worst, 0.0, session.tolerance.logits, detail)
    session.set_noise_floor(worst)
