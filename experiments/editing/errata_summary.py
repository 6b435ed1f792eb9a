"""Errata by wording and placement, a planted conclusion, and whether asking first pays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.editing.asking import Asked, KindsOfEdit
from experiments.editing.measure import Measured
from experiments.editing.scoring import EditScorer, Part
from experiments.editing.tables import Diagnostic, EditKind, ErratumArm, PlantedArm, Wording
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import SHARE, Headline

ALL, NONE = "all", "none"


def wordings(found: Measured, scorer: EditScorer, used: str) -> Part:
    """Every wording, beside an erratum about another field; placements, repeats; a planted conclusion.

    Args:
        found: everything.
        scorer: gets a row per edit and wording.
        used: wording of the arms.
    """
    scenes = found.cases.errata
    told = found.errata.of(scenes)
    kept = scorer.share(scenes, [not one.stale.right for one in told])
    stale = scorer.share(scenes, [one.stale.right for one in told])
    headlines: list[Headline] = []
    lines: list[TableRow] = [Wording.of(stale, wording=NONE, **interval("another_field", kept))]
    for name in told[0].wordings:
        mine = [one.wordings[name] for one in told]
        followed = scorer.share(scenes, [decision.right for decision in mine])
        aside = scorer.share(scenes, [one.unrelated[name].right for one in told])
        spoken = name.replace("_", " ")
        headlines += [
            Headline(f"wording_{name}", followed, f"edits right after an erratum, {spoken}", bounds=SHARE),
            Headline(
                f"another_field_{name}",
                aside,
                f"another field's erratum leaves the decision alone, {spoken}",
                bounds=SHARE,
            ),
        ]
        lines.append(Wording.of(followed, wording=name, **interval("another_field", aside)))
        scorer.note(scenes, f"wording {name}", mine)
    arms = {name: scorer.share(scenes, [one.arms[name].right for one in told]) for name in told[0].arms}
    what = "another field's erratum leaves the decision alone"
    headlines.append(Headline("another_field", arms["another_field"], what, bounds=SHARE))
    full = scorer.share(scenes, [one.full.right for one in told])
    return headlines, [
        *lines,
        *(ErratumArm.of(estimate, arm=name, wording=used) for name, estimate in arms.items()),
        ErratumArm.of(kept, arm="no_erratum_old_action", wording=NONE),
        ErratumArm.of(full, arm="full_reprefill", wording=NONE),
        *_planted(found, scorer),
    ]


def _planted(found: Measured, scorer: EditScorer) -> list[PlantedArm]:
    scenes = found.cases.planted
    told = found.planted.of(scenes)
    return [
        PlantedArm.of(scorer.share(scenes, [one.methods[name].right for one in told]), method=name)
        for name in told[0].methods
    ]


def diagnostic(found: Measured, scorer: EditScorer, used: str) -> Part:
    """Precision and recall of "field-only is not enough" over three kinds of edit, and what asking costs.

    Args:
        found: everything.
        scorer: makes the estimates.
        used: the experiment's own wording; headlines of others carry its name.
    """
    scenes = found.cases.one_way
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for wording, stage in found.diagnostic.items():
        named, asked = _asked(scorer, scenes, wording, stage.of(scenes))
        headlines += [
            Headline(
                name if wording == used else f"{name}_{wording}",
                estimate,
                f"{_WHAT[name]}, {wording.replace('_', ' ')}",
                bounds=SHARE,
            )
            for name, estimate in named
        ]
        lines += asked
    mine = found.diagnostic[used].of(scenes)
    kinds = {
        (kind, method): scorer.share(
            [scene for scene, one in zip(scenes, mine, strict=True) if kind in one.kinds],
            [getattr(one.kinds[kind], method).right for one in mine if kind in one.kinds],
        )
        for kind in _kinds(mine)
        for method in ("field_only", "full")
    }
    copied = kinds.get(("value", "field_only"))
    if copied is not None:
        what = "field alone, where the value is only read back"
        headlines.append(Headline("value_field_only", copied, what, bounds=SHARE))
    return headlines, [
        *lines,
        *(EditKind.of(right, edit=kind, method=method) for (kind, method), right in kinds.items()),
    ]


_WHAT = {
    "diagnostic_precision": "edits called unsafe for the field alone that are",
    "diagnostic_recall": "edits unsafe for the field alone that are found",
}


def _kinds(found: Sequence[KindsOfEdit]) -> list[str]:
    """Kinds that some scene has: a value that is read back may fit in one and not in another."""
    return list(dict.fromkeys(kind for one in found for kind in one.kinds))


def _asked(
    scorer: EditScorer, scenes: Sequence[EditScene], wording: str, found: Sequence[KindsOfEdit]
) -> tuple[list[tuple[str, Any]], list[Diagnostic]]:
    """One line for each kind of edit and one for all of them; estimates over all, by headline."""
    kinds = _kinds(found)
    named: list[tuple[str, Any]] = []
    lines = []
    for kind in (*kinds, ALL):
        asked = [
            (scene, one.kinds[k])
            for scene, one in zip(scenes, found, strict=True)
            for k in kinds
            if k in one.kinds and kind in (k, ALL)
        ]
        shares = _precision_and_recall(scorer, asked)
        named += [(f"diagnostic_{name}", share) for name, share in shares.items() if kind == ALL]
        columns = {c: v for name, share in shares.items() for c, v in interval(name, share).items()}
        lines.append(
            Diagnostic(
                wording=wording,
                edit=kind,
                edits=len(asked),
                needed=sum(one.needed for _, one in asked),
                said=sum(one.said for _, one in asked),
                share_asked=float(np.mean([one.tokens / one.context for _, one in asked])),
                milliseconds_asked=float(np.median([one.milliseconds for _, one in asked])),
                **columns,
            )
        )
    return named, lines


def _precision_and_recall(scorer: EditScorer, asked: Sequence[tuple[EditScene, Asked]]) -> dict[str, Any]:
    """Each only where it is a share of something."""
    found = {}
    for name, column in (("precision", "said"), ("recall", "needed")):
        picked = [(scene, one.said and one.needed) for scene, one in asked if getattr(one, column)]
        if picked:
            found[name] = scorer.share([scene for scene, _ in picked], [hit for _, hit in picked])
    return found
