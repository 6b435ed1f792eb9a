"""The arms of one question: full prefills, and splices of its chunk, at its place and moved."""

from dataclasses import dataclass

from experiments.vision.cases import Case
from experiments.vision.settings import VisionSettings
from pkv_interp.measure.picture_answers import PictureAnswer, read_answer
from pkv_interp.measure.picture_splices import Bench, SplicedArm
from pkv_interp.models.load_vision import LoadedVision
from pkv_interp.pictures.drawing import picture

#: Arms other than those that are moved and repaired.
SAME_POSITION, NO_ROTATION, SWAPPED = "same_position", "no_rotation", "swapped"


@dataclass(frozen=True)
class Spliced:
    """One arm after a preface of some length.

    Attributes:
        arm: ``same_position``, ``moved``, ``no_rotation`` or ``swapped``.
        shift: words of the preface, which a moved chunk is moved by.
        seam: tokens of the chunk that were run again.
        found: its answer, and how far it is from the full prefill's.
    """

    arm: str
    shift: int
    seam: int
    found: SplicedArm


@dataclass(frozen=True)
class Asked:
    """One question.

    Attributes:
        kind, category, instance: of the question.
        pictures: one or two.
        gold: the right word.
        tokens: of the chunk.
        alone: the full prefill's answer without a preface.
        full: its answer after each preface, by its words.
        arms: all splices.
    """

    kind: str
    category: str
    instance: str
    pictures: int
    gold: str
    tokens: int
    alone: PictureAnswer
    full: dict[int, PictureAnswer]
    arms: list[Spliced]


def ask(loaded: LoadedVision, case: Case, settings: VisionSettings) -> Asked:
    """All arms of a question.

    A moved chunk was made after what every prompt begins with (BOS, or a template's first words) and nothing
    else. One at the same position was made after another preface of the same length, so that it is not
    turned. A swapped one shows other pictures.
    """
    item = case.item
    bench = Bench.of(loaded, item, settings.pixels)
    alone = bench.parts(0)
    chunk = bench.chunk(alone.head)
    first = settings.shifts[0]
    full: dict[int, PictureAnswer] = {}
    arms: list[Spliced] = []
    for shift in settings.shifts:
        parts = bench.parts(shift)
        logits = bench.full(parts)
        full[shift] = read_answer(loaded.tokenizer, logits, item)
        moved = bench.spliced(parts, chunk)
        for seam in settings.seams:
            cache = bench.repaired(parts, moved, seam)
            run = min(seam, len(parts.body))
            arms.append(Spliced("moved", shift, seam, bench.arm(parts, cache, logits, run)))
        arms.append(Spliced(NO_ROTATION, shift, 0, bench.arm(parts, bench.unturned(parts, chunk), logits)))
        if shift == first:
            elsewhere = bench.chunk(bench.parts(shift, seed=1).head)
            cache = bench.spliced(parts, elsewhere)
            arms.append(Spliced(SAME_POSITION, shift, 0, bench.arm(parts, cache, logits)))
            images = [picture(scene, settings.pixels) for scene in case.other.scenes]
            other = Bench.showing(loaded, item, images)
            cache = other.spliced(parts, other.chunk(alone.head))
            arms.append(Spliced(SWAPPED, shift, 0, bench.arm(parts, cache, logits)))
    return Asked(
        item.kind,
        item.category,
        item.instance,
        len(item.scenes),
        item.answer,
        len(alone.body),
        read_answer(loaded.tokenizer, bench.full(alone), item),
        full,
        arms,
    )
