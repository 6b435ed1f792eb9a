"""What the decision reads after each edit, by source; why errata fail; which recomputed tokens carry it."""

from collections.abc import Sequence

import numpy as np

from experiments.editing.measure import Measured
from experiments.editing.scoring import EditScorer, Part
from experiments.editing.tables import Carrier, ErratumFate, TracedSource, WithoutSources
from experiments.editing.traced import TracedEdit
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.measure.edit_sources import ERRATUM, SOURCES
from pkv_interp.measure.traced_edits import TOGETHER, TracedDecision
from pkv_interp.records.tables import TableRow, interval

#: An erratum whose knockout moves the margin by less than this share of what a re-prefill moves is unread.
UNREAD = 0.1
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
        )
    ]


def _without(
    scorer: EditScorer,
    scenes: Sequence[EditScene],
    mine: Sequence[TracedDecision],
    method: str,
    place: str,
    sources: str,
) -> list[TableRow]:
    if not all(sources in one.together for one in mine):
        return []
    right = scorer.share(scenes, [one.together[sources] > 0 for one in mine])
    margin = _mean([one.together[sources] for one in mine])
    return [WithoutSources.of(right, method=method, place=place, without=sources, margin=margin)]


def _fate(
    edits: Sequence[TracedEdit], mine: Sequence[TracedDecision], method: str, place: str
) -> ErratumFate:
    """Of the errata that fail: those that the decision does not read, and those that are outweighed.

    Args:
        edits: of one place.
        mine: of the method, one per edit.
        method: that tells an erratum.
        place: of the field.
    """
    failed = unread = outvoted = alone = 0
    for edit, one in zip(edits, mine, strict=True):
        if one.margin > 0:
            continue
        failed += 1
        moved = one.margin - one.sources[ERRATUM].without
        if moved < UNREAD * abs(edit.full - edit.stale):
            unread += 1
        else:
            outvoted += 1
        alone += one.together.get(AGAINST, one.margin) > 0
    return ErratumFate(
        method=method,
        place=place,
        edits=len(mine),
        failed=failed,
        unread=unread,
        outvoted=outvoted,
        followed_alone=alone,
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
