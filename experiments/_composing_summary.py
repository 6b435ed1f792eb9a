"""From spliced decisions to the composing experiment's rows, tables and headline."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._composing_cases import BLIND, CONDITIONS, LOOKUP, MAIN, Scene
from experiments._composing_extras import diagnosis, times, tools
from experiments._composing_measures import TRANSPLANT, Found
from experiments._composing_sides import (
    NO_AGREEMENT,
    NO_TOP1,
    Scenes,
    Side,
    agreement,
    agrees,
    decisions_of,
    divergence,
    families_of,
    sides_of,
    values_of,
)
from experiments._scores import NOT_NEGATIVE, named
from pkv_interp.records import Run
from pkv_interp.stats import mean

if TYPE_CHECKING:
    from experiments.composing import ComposingSettings


@dataclass(frozen=True, eq=False)
class Measured:
    """All that was measured: scenes and their arms by condition and by curve, tools, diagnosis, times."""

    conditions: Mapping[str, Scenes]
    curves: Mapping[tuple[str, int], Scenes]
    tools: Sequence[Found]
    diagnosis: Sequence[Found]
    times: Sequence[Sequence[Found]]


def summarise(run: Run, settings: "ComposingSettings", found: Measured) -> None:
    """Fill the record."""
    options: dict[str, Any] = {"seed": settings.seed, "draws": settings.bootstrap_draws}
    lines: list[dict[str, Any]] = []
    for condition, scenes in found.conditions.items():
        sides = sides_of(*scenes)
        _rows(run, condition, sides)
        lines += [
            {"condition": condition, **_sizes(scenes[1]), **one}
            for one in _arms(run, sides, options, settings.blend_share)
        ]
    run.tables["fidelity"] = lines
    run.tables["conditions"] = [
        {"condition": name, **_gate(settings, *scenes), **_described(name)}
        for name, scenes in found.conditions.items()
    ]
    run.tables["curves"] = [
        {"curve": what, "size": n, **_sizes(scenes[1]), **_gate(settings, *scenes), **line}
        for (what, n), scenes in found.curves.items()
        for line in _arms(run, sides_of(*scenes), options, settings.blend_share)
    ]
    _headline(run, sides_of(*found.conditions[MAIN]), options)
    if BLIND in found.conditions:
        # Here the chunk's notes depend on what stood before it: nothing, or the other value.
        sides = sides_of(*found.conditions[BLIND])
        for name, arm in (("blind_agreement", TRANSPLANT), ("other_side_agreement", "behind_other_side")):
            if (agreed := agreement(sides, arm, options)) is not None:
                run.headline[name] = agreed
    if run.competence is not None and not run.competence.passed:
        # What an incompetent model decides is no evidence about notes: keep tables, withhold claims.
        run.headline = {"competence": run.headline["competence"]}
    tools(run, settings, found.tools, options)
    diagnosis(run, found.diagnosis, options)
    times(run, settings, found.times, options)


def _arms(
    run: Run, sides: Sequence[Side], options: Mapping[str, Any], blend_share: float
) -> list[dict[str, Any]]:
    """One line an arm: KL with its interval, and the secondary measures."""
    names = [arm for arm in sides[0].found["arms"] if all(arm in side.found["arms"] for side in sides)]
    full = np.array([side.found["margin"] for side in sides], float)
    floor = run.noise_floor["margin"]
    lines: list[dict[str, Any]] = []
    for arm in names:
        agreed = agreement(sides, arm, options)
        margins = values_of(sides, arm, "margin")
        error = mean(np.abs(margins - full), families_of(sides), bounds=NOT_NEGATIVE, **options)
        # Where the full prefill is wrong, to agree with it is no merit.
        counted = [side for side in sides if side.counted]
        same = (
            mean(values_of(counted, arm, "top1"), families_of(counted), bounds=(0.0, 1.0), **options)
            if counted
            else None
        )
        right = [side.sign * m > 0 for side, m in zip(sides, margins, strict=True)]
        lines.append(
            {
                "arm": arm,
                **named("kl", divergence(sides, arm, options)),
                **named("margin_error", error),
                **(NO_TOP1 if same is None else named("top1", same)),
                **(NO_AGREEMENT if agreed is None else named("agreement", agreed)),
                "recomputed": float(np.mean([_recomputed(side.scene, arm, blend_share) for side in sides])),
                "right": float(np.mean(right)),
                "cosine": float(values_of(sides, arm, "cosine").mean()),
                "centred_cosine": float(values_of(sides, arm, "centred_cosine").mean()),
                "counted": sum(side.counted for side in sides),
                "near_ties": int((np.abs(margins) <= floor).sum()),
                "n": len(sides),
                "n_families": len(set(families_of(sides))),
            }
        )
    return lines


def _recomputed(scene: Scene, arm: str, blend_share: float) -> float:
    """Share of the chunks' tokens that a repair runs again: of first tokens, 1 where there are no more."""
    if arm == "cacheblend":
        return blend_share
    found = re.fullmatch(r"(?:seam|epic)(\d+)", arm)
    if found is None:
        return 0.0
    lengths = [stop - start for start, stop in scene.spans]
    return sum(min(int(found[1]), length) for length in lengths) / sum(lengths)


def _rows(run: Run, condition: str, sides: Sequence[Side]) -> None:
    for side in sides:
        case = side.scene.case
        for arm, measured in side.found["arms"].items():
            run.rows.append(
                {
                    "family": case.family,
                    "split": case.split,
                    "instance": f"{case.instance}-{side.found['side']}",
                    "wording": case.wording,
                    "arm": f"{condition}/{arm}",
                    "clean": side.found["margin"],
                    "patched": measured["margin"],
                    "extra": {
                        "kl": measured["kl"],
                        "top1": bool(measured["top1"]),
                        "agrees": agrees(side, arm),
                        "counted": side.counted,
                        "gold_first_in_menu": bool(side.found["gold_first_in_menu"]),
                        "near_tie": abs(measured["margin"]) <= run.noise_floor["margin"],
                    },
                }
            )


def _sizes(chunks: Sequence[Found]) -> dict[str, float]:
    """Mean tokens of the prompt, of what is moved, and how far."""
    return {name: float(np.mean([c[name] for c in chunks])) for name in ("tokens", "chunk", "moved")}


def _gate(settings: "ComposingSettings", scenes: Sequence[Scene], chunks: Sequence[Found]) -> dict[str, Any]:
    """Whether the full prefill does the task here: two-way accuracy by side."""
    decided = decisions_of(scenes, chunks)
    by_side = {
        side: float(np.mean([d.right for d in decided if d.gold_is_match == (side == "match")]))
        for side in ("match", "mismatch")
    }
    first = np.mean([side["gold_first_in_menu"] for chunk in chunks for side in chunk["sides"]])
    return {
        "full_match": by_side["match"],
        "full_mismatch": by_side["mismatch"],
        "competent": min(by_side.values()) >= settings.competence_threshold,
        "gold_first_in_menu": float(first),
    }


def _described(condition: str) -> dict[str, Any]:
    if condition == LOOKUP:
        return {"blocks": "session", "field_after_rule": None, "place": "user"}
    blocks, late, place = CONDITIONS[condition]
    return {"blocks": " ".join(blocks), "field_after_rule": late, "place": place}


def _headline(run: Run, sides: Sequence[Side], options: Mapping[str, Any]) -> None:
    run.headline["transplant_kl"] = divergence(sides, TRANSPLANT, options)
    for name, arm in (
        ("transplant_agreement", TRANSPLANT),
        ("no_rotation_agreement", "no_rotation"),
        ("seam1_agreement", "seam1"),
    ):
        if (found := agreement(sides, arm, options)) is not None:
            run.headline[name] = found
