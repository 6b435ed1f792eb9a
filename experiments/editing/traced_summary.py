"""What the decision reads after each edit, by source; why errata fail; which recomputed tokens carry it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.editing.measure import Measured
from experiments.editing.scoring import EditScorer, Part
from experiments.editing.tables import Carrier, ErratumFate, TracedSource, WithoutSources
from experiments.editing.traced import TracedEdit
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.measure.edit_sources import ERRATUM, SOURCES
from pkv_interp.measure.traced_edits import TOGETHER, TracedDecision
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.claims import EQUIVALENCE_FLOOR

#: An erratum whose knockout moves less than this share of what a re-prefill moves is unread.
UNREAD = EQUIVALENCE_FLOOR
#: Sources without which an erratum that is read and outweighed must be followed.
AGAINST = "old notes and field"


def traced(found: Measured, scorer: EditScorer, methods: Sequence[str]) -> Part:
    """Margin by source for every method and place of the field, and what is left without several sources.

    Args:
        found: everything.
        scorer: makes the estimates.
        methods: in the order of the tables.
    """
    lines: list[TableRow] = []
    fates: list[TableRow] = []
    carried: list[TableRow] = []
    for place in dict.fromkeys(scene.place for scene in found.cases.traced):
        scenes = [scene for scene in found.cases.traced if scene.place == place]
        edits = found.traced.of(scenes)
        for method in methods:
            mine = [edit.methods[method] for edit in edits]
            for source in SOURCES:
                lines += _by_source(scorer, scenes, mine, method, place, source)
            for sources in TOGETHER:
                lines += _without(scorer, scenes, mine, method, place, sources)
                lines += _without(scorer, scenes, mine, method, place, sources, by_all=True)
            carried += _carriers(scorer, scenes, mine, method, place)
            if all(ERRATUM in one.sources for one in mine):
                fates.append(_fate(edits, mine, method, place))
    return [], [*lines, *fates, *carried]


def _by_source(
    scorer: EditScorer,
    scenes: Sequence[EditScene],
    mine: Sequence[TracedDecision],
    method: str,
    place: str,
    source: str,
) -> list[TableRow]:
    """What one source gives to the margin: nothing where it has no tokens."""
    if not any(source in one.sources for one in mine):
        return []
    read = [one.sources.get(source) for one in mine]
    moved = [0.0 if r is None else one.margin - r.without for one, r in zip(mine, read, strict=True)]
    given = [
        one.margin - r.given_back
        for one, r in zip(mine, read, strict=True)
        if r is not None and r.given_back is not None
    ]
    unseen = [
        one.margin - r.unseen
        for one, r in zip(mine, read, strict=True)
        if r is not None and r.unseen is not None
    ]
    return [
        TracedSource.of(
            scorer.mean(scenes, moved),
            method=method,
            place=place,
            source=source,
            margin=_mean([one.margin for one in mine]),
            tokens=_mean([0 if r is None else r.tokens for r in read]),
            attention=_mean([0.0 if r is None else r.attention for r in read]),
            **interval("written", scorer.mean(scenes, [0.0 if r is None else r.written for r in read])),
            written_by_read_heads=_mean([0.0 if r is None else r.written_by_read_heads for r in read]),
            lost_if_given_back=_mean(given) if len(given) == len(mine) else None,
            lost_if_unseen=_mean(unseen) if len(unseen) == len(mine) else None,
        )
    ]


def _without(
    scorer: EditScorer,
    scenes: Sequence[EditScene],
    mine: Sequence[TracedDecision],
    method: str,
    place: str,
    sources: str,
    by_all: bool = False,
) -> list[TableRow]:
    """P(correct) without sources, for the decision token, or for all tokens that are run after the edit."""
    found = [one.together_unseen if by_all else one.together for one in mine]
    if not all(sources in one for one in found):
        return []
    right = scorer.share(scenes, [one[sources] > 0 for one in found])
    name = f"{sources}, from the question too" if by_all else sources
    margin = _mean([one[sources] for one in found])
    return [WithoutSources.of(right, method=method, place=place, without=name, margin=margin)]


def _fate(
    edits: Sequence[TracedEdit], mine: Sequence[TracedDecision], method: str, place: str
) -> ErratumFate:
    """Of the errata that fail: those that nothing reads, and those that are outweighed.

    An erratum is read where hiding it moves the margin: from the decision token, or from every token that is
    run after it. Measurements of before have the decision token alone.

    Args:
        edits: of one place.
        mine: of the method, one per edit.
        method: that tells an erratum.
        place: of the field.
    """
    lost = [(edit, one) for edit, one in zip(edits, mine, strict=True) if one.margin <= 0]
    fates = [_reading(edit, one) for edit, one in lost]
    by_all = [fate.by_all for fate in fates if fate.by_all is not None]
    against = [fate.against for fate in fates if fate.against is not None]
    unread = sum(not fate.read for fate in fates)
    return ErratumFate(
        method=method,
        place=place,
        edits=len(mine),
        failed=len(lost),
        unread=unread,
        outvoted=len(lost) - unread,
        followed_alone=sum(one.together.get(AGAINST, one.margin) > 0 for _, one in lost),
        read_by_question=sum(fate.by_question for fate in fates),
        followed_unseen=sum(one.together_unseen.get(AGAINST, one.margin) > 0 for _, one in lost),
        attention=_mean([one.sources[ERRATUM].attention for _, one in lost]) if lost else None,
        moved=_mean([fate.moved for fate in fates]) if lost else None,
        moved_by_all=_mean(by_all) if by_all else None,
        against_by_all=_mean(against) if against else None,
    )


@dataclass(frozen=True)
class _Reading:
    """What hiding moves, as a share of what a re-prefill moves, towards the new value's action.

    Attributes:
        moved: lost when the decision token may not see the erratum.
        by_all: lost when no token run after it may; None in measurements of before.
        against: won when no such token may see the old notes and the field; None where they are not both.
    """

    moved: float
    by_all: float | None
    against: float | None

    @property
    def by_question(self) -> bool:
        """The question's tokens read it and the decision token does not."""
        return self.moved < UNREAD and self.by_all is not None and self.by_all >= UNREAD

    @property
    def read(self) -> bool:
        """Some token reads it."""
        return self.moved >= UNREAD or self.by_question


def _reading(edit: TracedEdit, one: TracedDecision) -> _Reading:
    scale = abs(edit.full - edit.stale) or 1.0
    erratum, without = one.sources[ERRATUM], one.together_unseen.get(AGAINST)
    return _Reading(
        moved=(one.margin - erratum.without) / scale,
        by_all=None if erratum.unseen is None else (one.margin - erratum.unseen) / scale,
        against=None if without is None else (without - one.margin) / scale,
    )


def _carriers(
    scorer: EditScorer, scenes: Sequence[EditScene], mine: Sequence[TracedDecision], method: str, place: str
) -> list[TableRow]:
    """Margin lost when tokens that were run again are given back one by one, summed by kind of token."""
    if not all(one.tokens for one in mine):
        return []
    lines: list[TableRow] = []
    for kind in dict.fromkeys(token.kind for one in mine for token in one.tokens):
        lost = [sum(one.margin - t.given_back for t in one.tokens if t.kind == kind) for one in mine]
        most = [
            max((one.margin - t.given_back for t in one.tokens if t.kind == kind), default=0.0)
            for one in mine
        ]
        lines.append(
            Carrier.of(
                scorer.mean(scenes, lost),
                method=method,
                place=place,
                kind=kind,
                tokens=_mean([sum(t.kind == kind for t in one.tokens) for one in mine]),
                most=_mean(most),
            )
        )
    return lines


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
