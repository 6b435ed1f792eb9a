"""Which layout a model follows best: competence by layout, on discovery families alone.

A layout is chosen before anything is scored, and on other families than those that are scored: what the
scored ones say cannot move the choice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Unpack

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.measure.competence import decisions
from pkv_interp.measure.pairs import run_pair
from pkv_interp.names import PairKind
from pkv_interp.tasks.layout_cases import LayoutCase, Order, layout_cases
from pkv_interp.tasks.recipes import RecipeOptions


@dataclass(frozen=True)
class LayoutPair:
    """What a model decides on one pair in one layout.

    Attributes:
        layout: name of the layout.
        family: a discovery family.
        index: of the instance in its family.
        kind: whether the field flips or the rule's trigger.
        margins: on both prompts, towards the action that each calls for; empty where no pair could be made.
        right: both margins are above 0.
        top_right: on both prompts the right answer is the most likely token of all.
        problem: why no pair could be made under this tokenizer, None where one was.
        order: whether the field stands before the rule or after it.
    """

    layout: str
    family: str
    index: int
    kind: PairKind
    margins: tuple[float, ...]
    right: bool
    top_right: bool
    problem: str | None = None
    order: Order = "early"


@dataclass(frozen=True)
class LayoutScore:
    """A layout's competence; pairs that could not be made count as wrong.

    Attributes:
        layout: its name.
        pairs: how many were asked for.
        made: how many could be made.
        right: share of pairs right on both sides, between the two actions.
        top_right: share right on both sides among all tokens.
        families_right: families of which every pair is right on both sides.
        families: how many there are.
        margin: mean of the smaller margin of each pair, in logits; None where no pair was made.
    """

    layout: str
    pairs: int
    made: int
    right: float
    top_right: float
    families_right: int
    families: int
    margin: float | None


def run_layout_case(engine: Engine, one: LayoutCase) -> LayoutPair:
    """What the model decides on both prompts of a pair."""
    if one.case is None:
        return LayoutPair(
            one.layout, one.family, one.index, one.kind, (), False, False, one.problem, one.order
        )
    found = decisions(run_pair(engine, one.case, capture=()))
    return LayoutPair(
        one.layout,
        one.family,
        one.index,
        one.kind,
        tuple(decision.margin for decision in found),
        all(decision.right for decision in found),
        all(decision.top_token_right for decision in found),
        None,
        one.order,
    )


def layout_pairs(
    engine: Engine,
    tokenizer: Any,
    layouts: Sequence[str],
    *,
    instances: int = 1,
    kinds: Sequence[PairKind] = ("field", "polarity"),
    **recipe: Unpack[RecipeOptions],
) -> Iterator[LayoutPair]:
    """Run pairs of every discovery family in every layout; each is given as it is measured.

    Args:
        engine: of the model.
        tokenizer: of the model.
        layouts: names of layouts.
        instances: pairs per family, kind and layout.
        kinds: kinds of pairs.
        recipe: as `layout_cases` takes it.

    Raises:
        PkvError: as `layout_cases`.
    """
    for one in layout_cases(tokenizer, layouts, instances=instances, kinds=kinds, **recipe):
        yield run_layout_case(engine, one)


def layout_scores(pairs: Iterable[LayoutPair]) -> list[LayoutScore]:
    """Competence by layout, the best one first.

    Layouts are ordered by the share of pairs right on both sides, then by that among all tokens, then by the
    mean of the smaller margins; those that are equal in all of it stay in the order in which they were run.
    """
    by_layout: dict[str, list[LayoutPair]] = {}
    for pair in pairs:
        by_layout.setdefault(pair.layout, []).append(pair)
    scores = [_score(name, found) for name, found in by_layout.items()]
    return sorted(scores, key=_rank)


def _score(name: str, pairs: Sequence[LayoutPair]) -> LayoutScore:
    families = {pair.family for pair in pairs}
    wrong = {pair.family for pair in pairs if not pair.right}
    made = [pair for pair in pairs if pair.problem is None]
    return LayoutScore(
        name,
        len(pairs),
        len(made),
        fmean(pair.right for pair in pairs),
        fmean(pair.top_right for pair in pairs),
        len(families - wrong),
        len(families),
        fmean(min(pair.margins) for pair in made) if made else None,
    )


def _rank(score: LayoutScore) -> tuple[float, float, float]:
    margin = float("-inf") if score.margin is None else score.margin
    return -score.right, -score.top_right, -margin


def best_layout(scores: Sequence[LayoutScore], least: float) -> str:
    """Name of the best layout.

    Args:
        scores: as `layout_scores` gives them.
        least: share of pairs that it must be right on, on both sides.

    Raises:
        PkvError: no layout is, so that there is nothing to look for a mechanism in.
    """
    if not scores or scores[0].right < least:
        found = f"{scores[0].right:.2f} in '{scores[0].layout}'" if scores else "none was run"
        raise PkvError(
            f"no layout reaches {least:.2f} of pairs right on both sides (best: {found})",
            "try other layouts, or another model",
        )
    return scores[0].layout
