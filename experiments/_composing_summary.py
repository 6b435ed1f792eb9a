"""From spliced decisions to the composing experiment's rows, tables and headline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._composing_cases import CONDITIONS, LOOKUP, MAIN, Scene
from experiments._composing_extras import diagnosis, times, tools
from experiments._composing_measures import TRANSPLANT, Found
from experiments._scores import named
from pkv_interp.measure.competence import Decision
from pkv_interp.records import Run
from pkv_interp.stats import Estimate, mean

if TYPE_CHECKING:
    from experiments.composing import ComposingSettings

#: Columns of an agreement that could be counted nowhere.
NO_AGREEMENT = {"agreement": None, "agreement_ci_low": None, "agreement_ci_high": None}
#: A divergence or an absolute error is not below 0.
NOT_NEGATIVE = (0.0, float("inf"))
Scenes = tuple[Sequence[Scene], Sequence[Found]]


@dataclass(frozen=True, eq=False)
class Measured:
    """All that was measured: scenes and their arms by condition and by curve, tools, diagnosis, times."""

    conditions: Mapping[str, Scenes]
    curves: Mapping[tuple[str, int], Scenes]
    tools: Sequence[Found]
    diagnosis: Sequence[Found]
    times: Sequence[Sequence[Found]]


@dataclass(frozen=True)
class Side:
    """One prompt under all arms; ``counted`` where the full prefill is right on both sides of its pair."""

    scene: Scene
    found: Found
    counted: bool

    @property
    def sign(self) -> float:
        """+1 where the gold action is the first one, -1 where it is the second."""
        return 1.0 if self.found["gold"] == 0 else -1.0


def summarise(run: Run, settings: "ComposingSettings", found: Measured) -> None:
    """Fill the record."""
    options: dict[str, Any] = {"seed": settings.seed, "draws": settings.bootstrap_draws}
    lines: list[dict[str, Any]] = []
    for condition, scenes in found.conditions.items():
        sides = sides_of(*scenes)
        _rows(run, condition, sides)
        lines += [{"condition": condition, **_sizes(scenes[1]), **one} for one in _arms(run, sides, options)]
    run.tables["fidelity"] = lines
    run.tables["conditions"] = [
        {"condition": name, **_gate(settings, *scenes), **_described(name)}
        for name, scenes in found.conditions.items()
    ]
    run.tables["curves"] = [
        {"curve": what, "size": n, **_sizes(scenes[1]), **_gate(settings, *scenes), **line}
        for (what, n), scenes in found.curves.items()
        for line in _arms(run, sides_of(*scenes), options)
    ]
    _headline(run, sides_of(*found.conditions[MAIN]), options)
    if run.competence is not None and not run.competence.passed:
        # What an incompetent model decides is no evidence about notes: keep tables, withhold claims.
        run.headline = {"competence": run.headline["competence"]}
    tools(run, settings, found.tools, options)
    diagnosis(run, found.diagnosis, options)
    times(run, settings, found.times, options)


def sides_of(scenes: Sequence[Scene], chunks: Sequence[Found]) -> list[Side]:
    """Both sides of every scene."""
    sides: list[Side] = []
    for one, chunk in zip(scenes, chunks, strict=True):
        right = [_towards_gold(side, side["margin"]) > 0 for side in chunk["sides"]]
        sides += [Side(one, side, all(right)) for side in chunk["sides"]]
    return sides


def decisions_of(scenes: Sequence[Scene], chunks: Sequence[Found]) -> list[Decision]:
    """What the full prefill decides, for the competence gate."""
    return [
        Decision(
            one.case.family,
            one.case.instance,
            side["side"] == "match",
            _towards_gold(side, side["margin"]),
            _towards_gold(side, side["margin"]) > 0,
            side["top_token_right"],
        )
        for one, chunk in zip(scenes, chunks, strict=True)
        for side in chunk["sides"]
    ]


def _towards_gold(side: Found, margin: float) -> float:
    return margin if side["gold"] == 0 else -margin


def _agrees(side: Side, arm: str) -> bool:
    """The arm takes the same of the two actions as the full prefill."""
    return (side.found["arms"][arm]["margin"] > 0) == (side.found["margin"] > 0)


def _families(sides: Iterable[Side]) -> list[str]:
    return [side.scene.case.family for side in sides]


def _values(sides: Sequence[Side], arm: str, what: str) -> np.ndarray:
    return np.array([side.found["arms"][arm][what] for side in sides], float)


def _agreement(sides: Sequence[Side], arm: str, options: Mapping[str, Any]) -> Estimate | None:
    """Two-way agreement where the full prefill is right on both field values; None where it never is."""
    counted = [side for side in sides if side.counted]
    if not counted:
        return None
    return mean([_agrees(s, arm) for s in counted], _families(counted), bounds=(0.0, 1.0), **options)


def _divergence(sides: Sequence[Side], arm: str, options: Mapping[str, Any]) -> Estimate:
    """Mean KL from the full prefill, in nats."""
    return mean(_values(sides, arm, "kl"), _families(sides), bounds=NOT_NEGATIVE, **options)


def _arms(run: Run, sides: Sequence[Side], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line an arm: KL with its interval, and the secondary measures."""
    names = [arm for arm in sides[0].found["arms"] if all(arm in side.found["arms"] for side in sides)]
    full = np.array([side.found["margin"] for side in sides], float)
    floor = run.noise_floor["margin"]
    lines: list[dict[str, Any]] = []
    for arm in names:
        agreement = _agreement(sides, arm, options)
        margins = _values(sides, arm, "margin")
        error = mean(np.abs(margins - full), _families(sides), bounds=NOT_NEGATIVE, **options)
        same = mean(_values(sides, arm, "top1"), _families(sides), bounds=(0.0, 1.0), **options)
        right = [side.sign * m > 0 for side, m in zip(sides, margins, strict=True)]
        lines.append(
            {
                "arm": arm,
                **named("kl", _divergence(sides, arm, options)),
                **named("margin_error", error),
                **named("top1", same),
                **(NO_AGREEMENT if agreement is None else named("agreement", agreement)),
                "right": float(np.mean(right)),
                "cosine": float(_values(sides, arm, "cosine").mean()),
                "centred_cosine": float(_values(sides, arm, "centred_cosine").mean()),
                "counted": sum(side.counted for side in sides),
                "near_ties": int((np.abs(margins) <= floor).sum()),
                "n": len(sides),
                "n_families": len(set(_families(sides))),
            }
        )
    return lines


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
                        "agrees": _agrees(side, arm),
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
    run.headline["transplant_kl"] = _divergence(sides, TRANSPLANT, options)
    for name, arm in (
        ("transplant_agreement", TRANSPLANT),
        ("no_rotation_agreement", "no_rotation"),
        ("seam1_agreement", "seam1"),
    ):
        if (found := _agreement(sides, arm, options)) is not None:
            run.headline[name] = found
