"""What splices keep: one line per arm in every condition and at every point of a curve, and the rows."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.composing.scenes import SceneResult
from experiments.composing.settings import CONDITIONS, LOOKUP, ComposingSettings
from experiments.composing.sides import (
    ScoredSide,
    agreement,
    decisions_of,
    divergence,
    families_of,
    same_token,
    sides_of,
    values_of,
)
from experiments.composing.tables import Condition, CurveArm, Fidelity
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.scoring import UNSIGNED, Scoring
from pkv_interp.stats import mean


def condition_tables(
    name: str, scenes: Sequence[SceneResult], scoring: Scoring[ComposingSettings]
) -> list[TableRow]:
    """A condition's arms, and what it is.

    Args:
        name: of the condition.
        scenes: of it.
        scoring: of the run.
    """
    blocks, late, place = (("session",), None, "user") if name == LOOKUP else CONDITIONS[name]
    lines: list[TableRow] = [Fidelity(condition=name, **line) for line in _arms(scenes, scoring)]
    told = Condition(
        condition=name,
        blocks=" ".join(blocks),
        field_after_rule=late,
        place=place,
        **_competence(scenes, scoring.settings.competence_threshold),
    )
    return [*lines, told]


def curve_tables(
    curve: str, size: int, scenes: Sequence[SceneResult], scoring: Scoring[ComposingSettings]
) -> list[CurveArm]:
    """The arms at one point of a curve.

    Args:
        curve: its name.
        size: of what the curve is over.
        scenes: of the point.
        scoring: of the run.
    """
    competence = _competence(scenes, scoring.settings.competence_threshold)
    return [CurveArm(curve=curve, size=size, **competence, **line) for line in _arms(scenes, scoring)]


def condition_rows(name: str, scenes: Sequence[SceneResult], floor: float) -> list[Row]:
    """One row per prompt and arm.

    Args:
        name: of the condition.
        scenes: of it.
        floor: noise floor of margins, in logits.
    """
    return [
        Row(
            family=scored.scene.family,
            split=scored.scene.split,
            instance=f"{scored.scene.instance}-{scored.side.name}",
            wording=scored.scene.wording,
            arm=f"{name}/{arm}",
            clean=scored.side.margin,
            patched=found.margin,
            extra={
                "kl": found.kl,
                "top1": found.top1,
                "agrees": scored.agrees(arm),
                "counted": scored.counted,
                "gold_first_in_menu": scored.side.gold_first_in_menu,
                "near_tie": abs(found.margin) <= floor,
            },
        )
        for scored in sides_of(scenes)
        for arm, found in scored.side.arms.items()
    ]


def _arms(scenes: Sequence[SceneResult], scoring: Scoring[ComposingSettings]) -> list[dict[str, Any]]:
    """Columns of every arm that all scenes have."""
    sides = sides_of(scenes)
    names = [arm for arm in sides[0].side.arms if all(arm in one.side.arms for one in sides)]
    return [_arm(sides, arm, scoring) | _sizes(scenes) for arm in names]


def _arm(sides: Sequence[ScoredSide], arm: str, scoring: Scoring[ComposingSettings]) -> dict[str, Any]:
    full = np.array([one.side.margin for one in sides], float)
    margins, names, resampling = values_of(sides, arm, "margin"), families_of(sides), scoring.resampling
    error = mean(np.abs(margins - full), names, bounds=UNSIGNED, **resampling)
    share = scoring.settings.blend_share
    return {
        "arm": arm,
        **interval("kl", divergence(sides, arm, resampling)),
        **interval("margin_error", error),
        **interval("top1", same_token(sides, arm, resampling)),
        **interval("agreement", agreement(sides, arm, resampling)),
        "recomputed": float(np.mean([_recomputed(one.scene.chunks, arm, share) for one in sides])),
        "right": float(np.mean([s.side.towards_gold(m) > 0 for s, m in zip(sides, margins, strict=True)])),
        "cosine": float(values_of(sides, arm, "cosine").mean()),
        "centred_cosine": float(values_of(sides, arm, "centred_cosine").mean()),
        "counted": sum(one.counted for one in sides),
        "near_ties": int((np.abs(margins) <= scoring.floor).sum()),
        "n": len(sides),
        "n_families": len(set(names)),
    }


def _recomputed(chunks: Sequence[int], arm: str, blend_share: float) -> float:
    """Share of the chunks' tokens that a repair runs again: of first tokens, 1 where there are no more."""
    if arm == "cacheblend":
        return blend_share
    found = re.fullmatch(r"(?:seam|epic)(\d+)", arm)
    return 0.0 if found is None else sum(min(int(found[1]), n) for n in chunks) / sum(chunks)


def _sizes(scenes: Sequence[SceneResult]) -> dict[str, float]:
    """Mean tokens of the prompt, of what is moved, and how far."""
    return {
        "tokens": float(np.mean([scene.tokens for scene in scenes])),
        "chunk": float(np.mean([sum(scene.chunks) for scene in scenes])),
        "moved": float(np.mean([scene.moved for scene in scenes])),
    }


def _competence(scenes: Sequence[SceneResult], threshold: float) -> dict[str, Any]:
    """Whether the full prefill does the task here: two-way accuracy by side."""
    decided = decisions_of(scenes)
    match, mismatch = (
        float(np.mean([d.right for d in decided if d.gold_is_match == is_match]))
        for is_match in (True, False)
    )
    first = np.mean([side.gold_first_in_menu for scene in scenes for side in scene.sides])
    return {
        "full_match": match,
        "full_mismatch": mismatch,
        "competent": min(match, mismatch) >= threshold,
        "gold_first_in_menu": float(first),
    }
