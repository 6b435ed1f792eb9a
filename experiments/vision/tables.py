"""Tables of the experiment on pictures: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class Agreement(EstimateRow):
    """Share of answers that are the full prefill's, where that is right and the answers of a kind vary.

    Attributes:
        arm: see ``experiments.vision.arms``.
        shift: words of the preface.
        seam: tokens of the chunk that were run again.
        pictures: one or two.
        category: ``perception``, ``reasoning`` or ``all``.
        kl: from the full prefill, in nats, mean over the same items.
        margin: of the right answer, in logits, as a share of the full prefill's.
        run: tokens run again, as a share of the chunk.
    """

    table = "agreement"
    arm: str
    shift: int
    seam: int
    pictures: int
    category: str
    kl: float
    margin: float
    run: float


@dataclass(frozen=True)
class Edits(EstimateRow):
    """Share of edits after which the new value decides, where it does after a re-prefill.

    Attributes:
        method: of editing; ``_moved`` ends those inside a moved chunk.
        place: of the field, before or after the picture, or ``all``.
        recovery: of the margin: 0 stale, 1 re-prefilled; None where no margin changes.
        recovery_ci_low, recovery_ci_high: of it.
        run: tokens run, as a share of the context.
        old: share that still decides by the old value.
    """

    table = "edits"
    method: str
    place: str
    recovery: float | None
    recovery_ci_low: float | None
    recovery_ci_high: float | None
    run: float
    old: float


@dataclass(frozen=True)
class FirstTokens(EstimateRow):
    """Time to the first token: full over reuse.

    Attributes:
        pixels: to a side of the picture.
        tokens: of the picture.
        full_ms: tower and prefill.
        tower_ms: the tower alone.
        reuse_ms: the chunk moved, and the question run.
    """

    table = "first_token"
    pixels: int
    tokens: int
    full_ms: float
    tower_ms: float
    reuse_ms: float


@dataclass(frozen=True)
class Used(TableRow):
    """How many items agreement is counted on.

    Attributes:
        pictures: one or two.
        kind: what is asked.
        asked: questions.
        right: of these, answered rightly by every full prefill.
        answers: different right answers among these.
        used: those that count: none where there is one answer alone.
    """

    table = "used"
    pictures: int
    kind: str
    asked: int
    right: int
    answers: int
    used: int
