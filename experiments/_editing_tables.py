"""Tables of the editing experiment beside the frontier: sweep, errata, diagnostic, chains, horizon."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments._editing_cases import Chunk, Item
from experiments._editing_summary import Tally
from experiments._scores import NOT_NEGATIVE, named, point
from experiments._setup import TOLERANCE
from pkv_interp.stats import Estimate, first_crossing
from pkv_interp.stats.slopes import slope

Found = tuple[Sequence[Item], Sequence[Chunk]]
#: The selector whose smallest K is plain ``k_star`` in the headline.
HEADLINE_SELECTOR = "causal"


def sweeps(tally: Tally, items: Sequence[Item], found: Sequence[Chunk]) -> None:
    """P(correct) and margin error by selector and K, and the smallest K of full quality by selector."""
    run, sizes = tally.run, tally.settings.top_k
    names = [n for n in found[0] if n not in ("stale", "full", "notes") and "random" not in n]
    draws = [n for n in found[0] if n.startswith("random")]
    whole = np.array([c["full"]["right"] for c in found], float)
    gap = np.array([c["full"]["margin"] - c["stale"]["margin"] for c in found])
    lines, stars = [], []
    for selector in [*names, "random"]:
        arms = draws if selector == "random" else [selector]

        def of(what: str, arms: Sequence[str] = arms) -> np.ndarray:
            values = [[[one[what] for one in c[arm]] for arm in arms] for c in found]
            return np.asarray(values, float).mean(1)

        right, margin = of("right"), of("margin")
        stale = np.array([c["stale"]["margin"] for c in found])
        for i, k in enumerate(sizes):
            closed = float((margin[:, i] - stale).sum() / gap.sum()) if gap.sum() else float("nan")
            lines.append(
                point(
                    tally.share(items, right[:, i]),
                    selector=selector,
                    k=k,
                    **named("kl", tally.mean(items, of("kl")[:, i], bounds=NOT_NEGATIVE)),
                    margin_recovery=closed if np.isfinite(closed) else None,
                )
            )
        # Against the full re-prefill on the same items: where that errs, an arm may as well.
        star = first_crossing(
            right - whole[:, None],
            [float(k) for k in sizes],
            [item.task.family for item in items],
            0.0,
            seed=run.seed,
        )
        stars.append(
            {
                "selector": selector,
                "full": float(whole.mean()),
                "largest_k": sizes[-1],
                "reached": star is not None,
            }
            | (star.model_dump() if star else {})
        )
        if star is not None:
            run.headline["k_star" if selector == HEADLINE_SELECTOR else f"k_star_{selector}"] = star
    run.tables |= {"k_sweep": lines, "k_star": stars}


def wordings(tally: Tally, short: Found, stated: Found) -> None:
    """Errata by wording; placement, repeats, several fields, a false one; a planted conclusion."""
    run, (items, found) = tally.run, short
    kept = tally.share(items, [not c["stale"]["right"] for c in found])
    lines = [
        point(
            tally.share(items, [c["stale"]["right"] for c in found]),
            wording="none",
            **named("another_field", kept),
        )
    ]
    for name in found[0]["wordings"]:
        mine = [c["wordings"][name] for c in found]
        estimate = tally.share(items, [c["right"] for c in mine])
        aside = tally.share(items, [c["unrelated"][name]["right"] for c in found])
        run.headline[f"wording_{name}"] = estimate
        run.headline[f"another_field_{name}"] = aside
        lines.append(point(estimate, wording=name, **named("another_field", aside)))
        tally.rows(items, f"wording {name}", mine)
    run.tables["wording"] = lines
    used = tally.settings.erratum
    arms = [
        point(tally.share(items, [c["arms"][name]["right"] for c in found]), arm=name, wording=used)
        for name in found[0]["arms"]
    ]
    run.headline["another_field"] = tally.share(items, [c["arms"]["another_field"]["right"] for c in found])
    run.tables["errata"] = [
        *arms,
        point(kept, arm="no_erratum_old_action", wording="none"),
        point(tally.share(items, [c["full"]["right"] for c in found]), arm="full_reprefill", wording="none"),
    ]
    planted_items, planted_found = stated
    run.tables["planted"] = [
        point(tally.share(planted_items, [c[name]["right"] for c in planted_found]), method=name)
        for name in planted_found[0]
    ]
    logits = TOLERANCE[str(run.model["dtype"])][1]
    run.control(
        "erratum_is_a_prefill",
        max(c["prefill_difference"] for c in found),
        0.0,
        logits,
        "logits, an erratum behind the stale cache against a prefill of the old text and the erratum",
    )
    run.control(
        "earlier_columns_kept",
        float(np.mean([c["earlier_columns_kept"] for c in found])),
        1.0,
        0.0,
        "share of errata that left every earlier column bit for bit",
    )


def diagnostic(tally: Tally, items: Sequence[Item], by_wording: Mapping[str, Sequence[Chunk]]) -> None:
    """Precision and recall of "field-only is not enough" over three kinds of edit, and what asking costs.

    Args:
        by_wording: what was found with each wording of the erratum that is asked; plain headline names are of
            the experiment's own.
    """
    run, used = tally.run, tally.settings.erratum
    found = by_wording[used]
    kinds = list(found[0])
    run.tables["diagnostic"] = [
        line for wording, mine in by_wording.items() for line in _asked(tally, items, wording, mine)
    ]
    run.tables["fields"] = [
        point(tally.share(items, [c[kind][method]["right"] for c in found]), edit=kind, method=method)
        for kind in kinds
        for method in ("field_only", "full")
    ]
    run.headline["value_field_only"] = tally.share(items, [c["value"]["field_only"]["right"] for c in found])


def _asked(tally: Tally, items: Sequence[Item], wording: str, found: Sequence[Chunk]) -> list[dict[str, Any]]:
    """One line for each kind of edit and one for all of them, asked with one wording."""
    run, kinds = tally.run, list(found[0])
    after = "" if wording == tally.settings.erratum else f"_{wording}"
    lines: list[dict[str, Any]] = []
    for kind in (*kinds, "all"):
        asked = [(i, c[k]) for i, c in zip(items, found, strict=True) for k in kinds if kind in (k, "all")]
        line: dict[str, Any] = {
            "wording": wording,
            "edit": kind,
            "edits": len(asked),
            "needed": sum(c["needed"] for _, c in asked),
            "said": sum(c["said"] for _, c in asked),
            "share_asked": float(np.mean([c["tokens"] / c["context"] for _, c in asked])),
            "milliseconds_asked": float(np.median([c["milliseconds"] for _, c in asked])),
        }
        for name, column in (("precision", "said"), ("recall", "needed")):
            picked = [(i, c["said"] and c["needed"]) for i, c in asked if c[column]]
            if picked:
                estimate = tally.share([i for i, _ in picked], [hit for _, hit in picked])
                line |= named(name, estimate)
                if kind == "all":
                    run.headline[f"diagnostic_{name}{after}"] = estimate
        lines.append(line)
    return lines


def chains(tally: Tally, items: Sequence[Item], found: Sequence[Chunk]) -> None:
    """Decisions with and without a chain from three cache states, and the chain's length."""
    lines = []
    for method in found[0]:
        mine = [c[method] for c in found]
        for how in ("plain", "chain"):
            estimate = tally.share(items, [c[how]["right"] for c in mine])
            lines.append(
                point(
                    estimate,
                    method=method,
                    how=how,
                    is_action=float(np.mean([c[how]["is_action"] for c in mine])),
                    chain_tokens=float(np.mean([c["tokens"] for c in mine])) if how == "chain" else 0.0,
                    truncated=float(np.mean([c["truncated"] for c in mine])) if how == "chain" else 0.0,
                )
            )
            if method == "field_only":
                name = "no_cot_field_only" if how == "plain" else "cot_field_only"
                tally.run.headline[name] = estimate
    tally.run.tables["chains"] = lines
    tally.run.tables["chain_texts"] = [
        {"instance": item.name, "method": method, "text": c[method]["text"]}
        for item, c in zip(items, found, strict=True)
        for method in c
    ]


def horizons(tally: Tally, items: Sequence[Item], found: Sequence[Sequence[Chunk]]) -> None:
    """P(correct) and margin error by turn and arm; the drift is one slope an instance, averaged by family."""
    run = tally.run
    arms = [name for name in found[0][0] if name != "turn"]
    turns = [entry["turn"] for entry in found[0]]
    run.tables["horizon"] = [
        point(
            tally.share(items, [c[i][arm]["right"] for c in found]),
            turn=turn,
            method=arm,
            margin_error=float(np.mean([c[i][arm].get("margin_error", 0.0) for c in found])),
            tokens=float(np.mean([c[i][arm]["tokens"] for c in found])),
        )
        for i, turn in enumerate(turns)
        for arm in arms
    ]
    run.tables["horizon_slopes"] = [
        line for arm in arms for side in ("new", "old") for line in _drift(tally, items, found, arm, side)
    ]


def _drift(
    tally: Tally, items: Sequence[Item], found: Sequence[Sequence[Chunk]], arm: str, side: str
) -> list[dict[str, Any]]:
    """Slopes of one arm over the turns whose value is the new one, or the old one.

    An arm that ignores every edit is right on all of the latter and none of the former: together they would
    hide what it does.
    """
    turns = [[entry for entry in c if (entry["turn"] % 2 == 1) == (side == "new")] for c in found]
    if len(turns[0]) < 2:
        return []
    at = [entry["turn"] for entry in turns[0]]
    estimate = tally.mean(items, [slope(at, [float(e[arm]["right"]) for e in c]) for c in turns])
    mean = tally.share(items, [float(np.mean([e[arm]["right"] for e in c])) for c in turns])
    lines = [point(estimate, method=arm, turns=side, what="p_correct a turn", **named("p_correct", mean))]
    if side == "new":
        name = "" if arm == "erratum" else f"_{arm}"
        tally.run.headline |= {f"horizon_slope{name}": estimate, f"horizon{name}": mean}
    if arm != "full_reprefill":
        errors = [slope(at, [e[arm]["margin_error"] for e in c]) for c in turns]
        lines.append(point(tally.mean(items, errors), method=arm, turns=side, what="margin_error a turn"))
    return lines


def weight_headline(lines: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """What each weight edit and cache edit did and cost, out of their table."""
    return {
        f"{what}_{line['method']}": Estimate(
            value=line[what],
            ci_low=line[f"{what}_ci_low"],
            ci_high=line[f"{what}_ci_high"],
            n_families=line["n_families"],
            n_instances=line["n_instances"],
        )
        for line in lines
        for what in ("success", "rephrased", "contamination", "collateral", "latency_ms")
    }
