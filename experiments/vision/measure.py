"""What the experiment on pictures measures: splices, edits and times, after checks with known answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.vision.arms import Asked, ask
from experiments.vision.cases import Cases, build_cases
from experiments.vision.settings import VisionSettings
from pkv_interp.measure.picture_edits import FieldEdits, edit_field
from pkv_interp.measure.picture_splices import Bench, own_forward_error
from pkv_interp.measure.picture_times import FirstToken, first_token
from pkv_interp.models.load_vision import LoadedVision, load_vision
from pkv_interp.models.random_vision import random_vision
from pkv_interp.run.stage import Stage

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class CheckValues:
    """Largest differences of logits between computations that have to agree.

    Attributes:
        own_place: a chunk made after its own context and spliced where it was, against the full prefill.
        own_forward: our prefill, against the model's own forward over pixels.
        masked: a moved chunk, against a prefill in which it attends to nothing before it.
    """

    own_place: float
    own_forward: float
    masked: float


@dataclass(frozen=True)
class Round:
    """One round of timing, named as a stage wants it."""

    instance: str


@dataclass(frozen=True)
class Times:
    """First tokens of one round, by resolution."""

    sizes: list[FirstToken]


@dataclass(frozen=True)
class Measured:
    """All that was measured."""

    cases: Cases
    asked: Stage[Asked]
    edits: Stage[FieldEdits]
    times: Stage[Times]


def measure(session: "Session[VisionSettings]") -> Measured:
    """Check, then ask every question, edit every field and time every resolution."""
    settings = session.settings
    cases = build_cases(settings)
    loaded = load_vision(settings.model)
    session.describe(loaded)
    _check(session, loaded, cases)
    asked = session.each("asked", cases.questions, lambda case: ask(loaded, case, settings), Asked)
    shift = settings.shifts[-1]
    edits = session.each(
        "edits",
        cases.fields,
        lambda item: edit_field(loaded, item, settings.methods, settings.pixels, shift),
        FieldEdits,
    )
    timed = loaded if settings.timed == "model" else random_vision(settings.model)
    item = cases.questions[0].item
    first_token(timed, item, settings.resolutions[0], shift)  # a first run allocates and chooses kernels
    times = session.each(
        "times",
        [Round(str(number)) for number in range(settings.rounds)],
        lambda _: Times([first_token(timed, item, size, shift) for size in settings.resolutions]),
        Times,
    )
    return Measured(cases, asked, edits, times)


def _check(session: "Session[VisionSettings]", loaded: LoadedVision, cases: Cases) -> None:
    """The identities that all figures rest on, on the first and the last question."""
    settings = session.settings
    ends = [cases.questions[0].item, cases.questions[-1].item]

    def values() -> CheckValues:
        benches = [Bench.of(loaded, item, settings.pixels) for item in ends]
        parts = [bench.parts(settings.shifts[-1]) for bench in benches]
        return CheckValues(
            max(bench.own_place_error(part) for bench, part in zip(benches, parts, strict=True)),
            max(own_forward_error(loaded, item, settings.pixels) for item in ends),
            max(bench.masked_error(part) for bench, part in zip(benches, parts, strict=True)),
        )

    found = session.once("checks", values, CheckValues)
    allowed, on = session.tolerance.logits, "logits, the first and the last question"
    session.control("splice_at_own_position", found.own_place, 0.0, allowed, on)
    session.control("runner_equals_own_forward", found.own_forward, 0.0, allowed, on)
    session.control("moved_equals_masked", found.masked, 0.0, allowed, on)
    session.set_noise_floor(max(found.own_place, found.own_forward, found.masked))
