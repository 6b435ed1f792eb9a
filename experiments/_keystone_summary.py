"""From edits and cuts to the keystone experiment's rows, tables and headline."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._composing_sides import NO_AGREEMENT
from experiments._editing_cases import Item
from experiments._keystone_cases import CUTS
from experiments._scores import NOT_NEGATIVE, named, stack
from pkv_interp.measure.competence import Decision
from pkv_interp.records import Run
from pkv_interp.stats import difference, mean
from pkv_interp.stats.recovery import recovery

if TYPE_CHECKING:
    from experiments.keystone import KeystoneSettings

CACHES = ("recomputed", "composed")
#: Methods that prefill a text anew or paste from such a prefill: on a composed cache they compose nothing.
ANEW = ("hoist", "full_reprefill", "oracle_patch")
Found = Mapping[str, Any]


def decisions_of(items: Sequence[Item], chunks: Sequence[Found]) -> list[Decision]:
    """What the full prefill decides on either value, for the competence gate."""
    out: list[Decision] = []
    for item, chunk in zip(items, chunks, strict=True):
        for at, (end, sign) in enumerate((("old", -1.0), ("new", 1.0))):
            towards = sign * chunk["recomputed"][end]
            matches = item.task.matches == (end == "new")
            out.append(
                Decision(
                    item.task.family,
                    item.task.instance,
                    matches,
                    towards,
                    towards > 0,
                    chunk["top_token_right"][at],
                )
            )
    return out


def summarise(
    run: Run,
    settings: "KeystoneSettings",
    items: Sequence[Item],
    edited: Sequence[Found],
    cut: Sequence[Found],
) -> None:
    """Fill the record."""
    options: dict[str, Any] = {"seed": settings.seed, "draws": settings.bootstrap_draws}
    names = [item.task.family for item in items]
    _methods(run, settings, items, edited, names, options)
    _cuts(run, cut, names[::2], options)  # both directions of an edit have the same two prompts
    if run.competence is not None and not run.competence.passed:
        # What an incompetent model decides is no evidence about edits: keep tables, withhold claims.
        run.headline = {"competence": run.headline["competence"]}


def _methods(
    run: Run,
    settings: "KeystoneSettings",
    items: Sequence[Item],
    chunks: Sequence[Found],
    names: Sequence[str],
    options: Mapping[str, Any],
) -> None:
    """Recovery of each method on either cache, each on its own scale, and how often both decide alike."""
    ends = {cache: (stack(chunks, cache, "old"), stack(chunks, cache, "new")) for cache in CACHES}
    floors: dict[str, float] = {}
    for cache, (old, new) in ends.items():
        floor = run.noise_floor["margin"]
        # Where nothing is above the floor (a random model) all are kept; the gate has failed then.
        floors[cache] = floor if (np.abs(new - old) > floor).any() else 0.0
    lines: list[dict[str, Any]] = []
    for method in settings.methods:
        line: dict[str, Any] = {"method": method}
        margins = {cache: stack(chunks, cache, "methods", method, "margin") for cache in CACHES}
        whole = method.partition("@")[0] in ANEW
        for cache, (old, new) in ends.items():
            if whole and cache == "composed":
                line |= {f"{cache}{end}": None for end in ("", "_ci_low", "_ci_high", "_right", "_excluded")}
                continue
            found = recovery(margins[cache], new, old, names, noise_floor=floors[cache], **options)
            line |= named(cache, found.estimate)
            line[f"{cache}_right"] = float((margins[cache] > 0).mean())
            line[f"{cache}_excluded"] = found.n_excluded
            run.headline[f"{method}_{cache}"] = found.estimate
            _rows(run, items, f"{method}/{cache}", (old, new, margins[cache]), floors[cache])
        if whole:
            line |= NO_AGREEMENT
        else:
            alike = [bool(a == b) for a, b in zip(*(m > 0 for m in margins.values()), strict=True)]
            line |= named("agreement", mean(alike, names, bounds=(0.0, 1.0), **options))
        line["tokens"] = float(stack(chunks, "recomputed", "methods", method, "tokens").mean())
        lines.append({**line, "n": len(items), "n_families": len(set(names))})
    run.tables["methods"] = lines
    run.tables["scale"] = [
        {
            "cache": cache,
            **named("gap", mean(new - old, names, **options)),
            "old_right": float((old < 0).mean()),
            "new_right": float((new > 0).mean()),
            "excluded": int((np.abs(new - old) <= floors[cache]).sum()),
            "n": len(items),
        }
        for cache, (old, new) in ends.items()
    ]


def _rows(run: Run, items: Sequence[Item], arm: str, measured: Sequence[np.ndarray], floor: float) -> None:
    old, new, margins = measured
    for at, item in enumerate(items):
        task = item.task
        run.rows.append(
            {
                "family": task.family,
                "split": task.split,
                "instance": task.instance,
                "wording": task.wording,
                "arm": arm,
                "clean": float(new[at]),
                "corrupt": float(old[at]),
                "patched": float(margins[at]),
                "extra": {
                    "matches": task.matches,
                    "excluded": bool(abs(new[at] - old[at]) <= floor),
                },
            }
        )


def _cuts(run: Run, chunks: Sequence[Found], names: Sequence[str], options: Mapping[str, Any]) -> None:
    """Agreement with the full prefill by cut, where that is right on both values; and what cutting costs.

    A penalty is the agreement lost against one chunk (colocated): by cutting blocks that refer to one
    another (``split``), and blocks that do not (``independent``).
    """
    counted = [i for i, c in enumerate(chunks) if c["old"]["full"]["margin"] < 0 < c["new"]["full"]["margin"]]
    kept = [names[i] for i in counted]
    agreed: dict[str, np.ndarray] = {}
    lines: list[dict[str, Any]] = []
    for cut in CUTS:
        kl = np.mean([stack(chunks, end, cut, "kl") for end in ("old", "new")], axis=0)
        line: dict[str, Any] = {
            "cut": cut,
            "chunks": len(CUTS[cut]),
            **named("kl", mean(kl, names, bounds=NOT_NEGATIVE, **options)),
        }
        if not counted:
            line |= NO_AGREEMENT
        else:
            alike = [
                (stack(chunks, end, cut, "margin")[counted] > 0)
                == (stack(chunks, end, "full", "margin")[counted] > 0)
                for end in ("old", "new")
            ]
            agreed[cut] = np.mean(alike, axis=0)
            line |= named("agreement", mean(agreed[cut], kept, bounds=(0.0, 1.0), **options))
        lines.append({**line, "counted": len(counted), "n": len(chunks), "n_families": len(set(names))})
    run.tables["cuts"] = lines
    for name in ("split", "independent"):
        if counted:
            lost = difference(agreed["colocated"], agreed[name], kept, **options)
            run.headline[f"{name}_penalty"] = lost
