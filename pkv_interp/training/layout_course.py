"""What adapters under an attention layout learn from: the shares of prompts, and the course made of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.training.courses import Programmable
from pkv_interp.training.examples import KINDS
from pkv_interp.training.layout_losses import LayoutLosses, layout_batches
from pkv_interp.training.layout_prompts import Draw, draw_prompt
from pkv_interp.training.layout_tokens import LayoutSequence, under_layout
from pkv_interp.training.schedule import Stage, at
from pkv_interp.training.tokens import TokenSequence
from pkv_interp.training.trainer import Course
from pkv_interp.training.updates import Kind

#: Draws of a pair whose words are tokens of the model; a tokenizer of few words needs many.
_TRIES = 400
#: Salt of the random streams, so that these prompts are none of another curriculum's.
_STREAM = 16


def draw_pair(
    course: Programmable, stage: Stage, seed: Sequence[int], progress: float, longest: int, tokenizer: Any
) -> list[LayoutSequence]:
    """Two sequences that differ in the field's value alone, so with opposite answers, under one layout.

    Args:
        course: the shares.
        stage: lengths, breadth and kinds.
        seed: of the pair.
        progress: through the stage.
        longest: neutral sentences at full breadth.
        tokenizer: pairs with a word that it splits are drawn again.

    Raises:
        PkvError: the tokenizer has too few of the words.
    """
    last: PkvError | None = None
    for attempt in range(_TRIES):
        rng = np.random.default_rng([*seed, _STREAM, attempt])
        kind = drawn_kind(rng, stage.mix)
        late = kind == "late" if kind in ("plain", "late") else bool(rng.random() < _late_share(stage.mix))
        isolated, blind = bool(rng.random() < course.isolated), bool(rng.random() < course.blind)
        all_fields = bool(rng.random() < course.all_fields)
        # Where neither sees the other and nothing is a link, only the answer itself can bring them together.
        linked = course.link_tokens if blind else course.links
        apart = (isolated or blind) and not late and not linked
        read = course.read_back > 0 and (apart or bool(rng.random() < course.read_back))
        links = course.link_tokens if (isolated or blind) and not read else 0  # plain prompts have none
        how = drawn(stage, kind, late, progress, longest, links=links, blind=blind)
        words = int(rng.integers(2**31))
        try:
            return [
                under_layout(
                    draw_prompt(np.random.default_rng(words), how, match),
                    tokenizer,
                    name_of(late=late, isolated=isolated, blind=blind, read=read),
                    read_back=read,
                    isolated=isolated,
                    all_fields=all_fields,
                    blind=blind,
                    rule_links=course.links == "rule" and not read,
                )
                for match in (True, False)
            ]
        except PkvError as error:
            last = error
    raise PkvError(
        f"after {_TRIES} draws no pair has words of this tokenizer ({last and last.cause})",
        "train a model whose tokenizer has more of the words in pkv_interp/training/vocabulary.py",
    )


def drawn(
    stage: Stage,
    kind: Kind,
    late: bool,
    progress: float,
    longest: int,
    *,
    links: int = 0,
    blind: bool = False,
) -> Draw:
    """How a prompt of a stage is drawn."""
    breadth = stage.breadth[0] + (stage.breadth[1] - stage.breadth[0]) * progress
    return Draw(kind, late, links, blind, stage.lessons is not None, breadth, longest)


def drawn_kind(rng: np.random.Generator, mix: Mapping[Kind, float]) -> Kind:
    """A kind of example, by shares."""
    shares = np.array([mix.get(kind, 0.0) for kind in KINDS])
    return KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]


def _late_share(mix: Mapping[Kind, float]) -> float:
    """Of prompts with an event after them, how many have the field after the rule."""
    late, plain = mix.get("late", 0.0), mix.get("plain", 0.0)
    return late / (late + plain)


def name_of(*, late: bool, isolated: bool, blind: bool, read: bool = False) -> str:
    """The kind of example by which accuracy is told."""
    what = "blind" if blind else "isolated" if isolated else ""
    place = "late" if late else "" if what else "plain"
    return "_".join(part for part in ("read" if read else "", what, place) if part)


def paired_batches(
    stages: Sequence[Stage],
    seed: int,
    draw: Callable[[Stage, tuple[int, int, int], float], Sequence[TokenSequence]],
) -> Callable[[int], list[TokenSequence]]:
    """Batches of pairs; the same seed and step give the same batch.

    Args:
        stages: of the training.
        seed: of the training.
        draw: makes one pair, of the stage, the pair's own seed and how far the stage is.
    """

    def batches(step: int) -> list[TokenSequence]:
        stage, progress = at(stages, step)
        found: list[TokenSequence] = []
        for pair in range(-(-stage.batch // 2)):
            found += draw(stage, (seed, step, pair), progress)
        return found[: stage.batch]

    return batches


def programmable_course(
    course: Programmable,
    stages: Sequence[Stage],
    seed: int,
    longest: int,
    tokenizer: Any,
    losses: LayoutLosses,
) -> Course:
    """The course of a training; the same seed and step give the same batch.

    Args:
        course: the shares.
        stages: of the training.
        seed: of the training.
        longest: neutral sentences at full breadth.
        tokenizer: of the model.
        losses: of the model that is trained.
    """

    def draw(stage: Stage, own: tuple[int, int, int], progress: float) -> list[LayoutSequence]:
        return draw_pair(course, stage, own, progress, longest, tokenizer)

    return Course(paired_batches(stages, seed, draw), losses, layout_batches, course.facts)
