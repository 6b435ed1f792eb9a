"""From measured margins to the circuit experiment's rows, tables and headline."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._circuit_checks import HEADLINE_K, decompositions, faithfulness_curves, screening
from experiments._scores import Scorer, point, stack
from pkv_interp.measure.heads import top_heads
from pkv_interp.measure.ranking import pooled_effect, rank_labels
from pkv_interp.records import Run
from pkv_interp.stats import jaccard_stability, site_spearman
from pkv_interp.tasks import Case
from pkv_interp.tasks.sites import site_labels

if TYPE_CHECKING:
    from experiments.circuit import Chunk, CircuitSettings, Plan


def summarise(
    run: Run,
    settings: "CircuitSettings",
    cases: dict[str, list[Case]],
    few: dict[str, list[Case]],
    sites: list["Chunk"],
    plan: "Plan",
    reading: list["Chunk"],
    sweeps: list["Chunk"],
    writing: list["Chunk"],
) -> None:
    """Fill the record."""
    discovery, held_out = cases["discovery"], cases["held_out"]
    n = len(discovery)
    everything = Scorer(run, [*discovery, *held_out], sites, settings)
    held = Scorer(run, held_out, sites[n:], settings)
    at = {case.instance: site for case, site in zip([*discovery, *held_out], sites, strict=True)}
    few_held = Scorer(run, few["held_out"], [at[c.instance] for c in few["held_out"]], settings)

    _states(run, everything, sites)
    _positions(run, held, settings, discovery, held_out, sites, plan, reading)
    _readers(run, held, settings, plan, sites, reading, n)
    _writers(run, few_held, settings, few["discovery"], at, sweeps, writing)
    decompositions(run, held, settings, plan, reading)
    screening(run, held, settings, sites[n:])
    faithfulness_curves(run, held, settings, reading)
    heads = stack(sites[:n], "heads").reshape(n, -1)
    moved = heads - np.array([s["corrupt"] for s in sites[:n]])[:, None]
    run.headline["circuit_jaccard"] = jaccard_stability(
        moved, [c.family for c in discovery], min(HEADLINE_K, moved.shape[1]), seed=settings.seed
    )
    if run.competence is not None and not run.competence.passed:
        # What an incompetent model decides is no evidence about notes: keep tables, withhold claims.
        run.headline = {"competence": run.headline["competence"]}


def _states(run: Run, scorer: Scorer, sites: list["Chunk"]) -> None:
    for arm in ("trigger_only", "notes_only"):
        run.headline[arm] = scorer.arm(arm, [s["states"][arm] for s in sites])
    for case, site in zip(scorer.cases, sites, strict=True):
        right = {("match" if d["gold_is_match"] else "mismatch"): d for d in site["decisions"]}
        run.rows.append(
            {
                "family": case.family,
                "split": case.split,
                "instance": case.instance,
                "wording": case.wording,
                "arm": "unpatched",
                "clean": site["clean"],
                "corrupt": site["corrupt"],
                "extra": {
                    f"{side}_{what}": d[what]
                    for side, d in right.items()
                    for what in ("right", "top_token_right")
                },
            }
        )
    worst = max(abs(s["states"]["full_patch"] - s["clean"]) for s in sites)
    run.tables["states"] = [point(run.headline[a], arm=a) for a in ("trigger_only", "notes_only")]
    run.tables["states"].append({"arm": "full_patch", "largest_error_logits": worst})


def _positions(
    run: Run,
    held: Scorer,
    settings: "CircuitSettings",
    discovery: list[Case],
    held_out: list[Case],
    sites: list["Chunk"],
    plan: "Plan",
    reading: list["Chunk"],
) -> None:
    run.headline["top_aggregator"] = held.arm("top_aggregator", stack(reading, "top_aggregator"))
    run.headline["aggregators_joint"] = held.arm("aggregators_joint", stack(reading, "aggregators"))
    ranked = []
    for chosen, found in ((discovery, sites[: len(discovery)]), (held_out, sites[len(discovery) :])):
        labels = [site_labels(c.clean)[c.after_change : c.clean.decision] for c in chosen]
        moved = [np.asarray(s["positions"], float) - s["corrupt"] for s in found]
        ranked.append(dict(rank_labels(labels, moved, [s["clean"] - s["corrupt"] for s in found])))
    run.tables["sites"] = [
        {
            "label": label,
            "discovery": value,
            "held_out": ranked[1].get(label),
            "aggregator": label in plan.labels,
            **(
                _site_interval(run, settings, label, held_out, sites[len(discovery) :])
                if label in plan.labels
                else {}
            ),
        }
        for label, value in ranked[0].items()
    ]
    # The first prompt that the noise floor does not swallow; `held.arm` has seen to it that there is one.
    first = int(np.flatnonzero(np.abs(held.clean - held.corrupt) > held.floor)[0])
    example, site = held_out[first], sites[len(discovery) + first]
    gap = site["clean"] - site["corrupt"]
    names = site_labels(example.clean)
    effects = np.zeros(len(example.clean))
    effects[example.after_change : example.clean.decision] = (
        np.asarray(site["positions"]) - site["corrupt"]
    ) / gap
    run.tables["tokens"] = [
        {
            "position": i,
            "token": token,
            "kind": kind,
            "label": names[i],
            "recovery": float(effects[i]),
            "family": example.family,
            "instance": example.instance,
            "changed": i in range(*example.clean.spans[example.changed]),
        }
        for i, (token, kind) in enumerate(zip(example.clean.tokens, example.clean.kinds, strict=True))
    ]
    run.tables["token_kinds"] = _by_kind(held, held_out, sites[len(discovery) :])


def _site_interval(
    run: Run, settings: "CircuitSettings", label: str, cases: list[Case], sites: list["Chunk"]
) -> dict[str, Any]:
    """Interval of a label's mean single-position recovery, over the held-out cases that have the label."""
    chosen, found, patched = [], [], []
    for case, site in zip(cases, sites, strict=True):
        names = site_labels(case.clean)[case.after_change : case.clean.decision]
        at = [i for i, name in enumerate(names) if name == label]
        if at:
            chosen.append(case)
            found.append(site)
            patched.append(float(np.mean(np.asarray(site["positions"], float)[at])))
    if not chosen:
        return {}
    estimate = Scorer(run, chosen, found, settings).recovery(patched)
    return {key: getattr(estimate, key) for key in ("ci_low", "ci_high", "n_families", "n_instances")}


def _by_kind(held: Scorer, cases: list[Case], sites: list["Chunk"]) -> list[dict[str, Any]]:
    """Sum of single-position recoveries by token kind, and how many positions of the kind there are."""
    kinds = sorted({k for c in cases for k in c.clean.kinds[c.after_change : c.clean.decision]})
    lines = []
    for kind in kinds:
        total, count = [], []
        for case, site in zip(cases, sites, strict=True):
            mask = np.array([k == kind for k in case.clean.kinds[case.after_change : case.clean.decision]])
            moved = np.asarray(site["positions"], float) - site["corrupt"]
            total.append(site["corrupt"] + float(moved[mask].sum()))
            count.append(int(mask.sum()))
        lines.append(point(held.recovery(total), kind=kind, positions_per_prompt=float(np.mean(count))))
    return lines


def _readers(
    run: Run,
    held: Scorer,
    settings: "CircuitSettings",
    plan: "Plan",
    sites: list["Chunk"],
    reading: list["Chunk"],
    n: int,
) -> None:
    top, random = stack(reading, "read_top"), stack(reading, "read_random").mean(-1)
    lines = []
    for i, k in enumerate(settings.sizes):
        for arm, values in (("top", top[:, i]), ("random", random[:, i])):
            if arm == "random" and len(plan.random_readers[i][0]) < k:
                continue  # too few other heads in these layers: no control of this size exists
            keep = k == HEADLINE_K
            found = held.arm(f"read_heads_{arm}{k}", values) if keep else held.recovery(values)
            if keep:
                run.headline[f"read_heads_{arm}{k}"] = found
            lines.append(point(found, arm=arm, k=k))
    run.tables["read_curve"] = lines
    clean, corrupt = (np.array([s[side] for s in sites[:n]]) for side in ("clean", "corrupt"))
    effect = pooled_effect(stack(sites[:n], "heads"), corrupt, clean)
    scored = pooled_effect(stack(sites[n:], "heads"), held.corrupt, held.clean)
    notes, field = stack(reading, "attn_aggregators").mean(0), stack(sites[n:], "attn_field").mean(0)
    rank = {head: i + 1 for i, head in enumerate(plan.readers)}
    each = held.recoveries(stack(sites[n:], "heads").reshape(len(reading), -1))
    run.tables["read_heads"] = [
        {
            "layer": la,
            "head": h,
            "rank": rank[la, h],
            "discovery": float(effect[la, h]),
            "held_out": float(scored[la, h]),
            "ci_low": each[la * scored.shape[1] + h].ci_low,
            "ci_high": each[la * scored.shape[1] + h].ci_high,
            "attention_aggregators": float(notes[la, h]),
            "attention_field": float(field[la, h]),
        }
        for la, h in sorted(rank)
    ]
    mlps = pooled_effect(stack(sites[n:], "mlps"), held.corrupt, held.clean)
    run.tables["read_mlps"] = [{"layer": la, "held_out": float(v)} for la, v in enumerate(mlps)]
    moved = (stack(sites[n:], "heads") - held.corrupt[:, None, None]).reshape(len(reading), -1)
    for name, mass in (
        ("aggregators", stack(reading, "attn_aggregators")),
        ("field", stack(sites[n:], "attn_field")),
    ):
        seen = mass.reshape(len(reading), -1)
        if np.ptp(seen.mean(0)) > 0.0:  # where every window ends before the field, no head sees it
            run.headline[f"attention_{name}_rank_correlation"] = site_spearman(
                seen, moved, held.families, seed=settings.seed
            )
    run.arrays |= {"read_effect_discovery": effect, "read_effect_held_out": scored}


def _writers(
    run: Run,
    held: Scorer,
    settings: "CircuitSettings",
    discovery: list[Case],
    at: dict[Any, "Chunk"],
    sweeps: list["Chunk"],
    writing: list["Chunk"],
) -> None:
    swept = [at[c.instance] for c in discovery]
    corrupt, clean = (np.array([s[side] for s in swept]) for side in ("corrupt", "clean"))
    effect = {name: pooled_effect(stack(sweeps, name), corrupt, clean) for name in ("top", "joint")}
    rank = {
        head: i + 1 for i, head in enumerate(top_heads(effect["joint"][:, :-1], effect["joint"][:, :-1].size))
    }
    n_heads = effect["joint"].shape[1] - 1
    run.tables["write_heads"] = [
        {
            "layer": la,
            "head": h,
            "rank": rank[la, h],
            "top": float(effect["top"][la, h]),
            "joint": float(effect["joint"][la, h]),
        }
        for la, h in sorted(rank)
    ]
    run.tables["write_sample"] = [
        {"n_families": len({c.family for c in discovery}), "n_instances": len(discovery)}
    ]
    run.tables["write_mlps"] = [
        {"layer": la, "top": float(effect["top"][la, n_heads]), "joint": float(effect["joint"][la, n_heads])}
        for la in range(len(effect["top"]))
    ]
    lines = []
    for where in ("joint", "top"):
        values = stack(writing, f"write_{where}")
        suffix = "" if where == "joint" else "_one_aggregator"
        for i, k in enumerate(settings.sizes):
            name = f"write_heads_top{k}{suffix}"
            keep = k == HEADLINE_K
            found = held.arm(name, values[:, i]) if keep else held.recovery(values[:, i])
            if keep:
                run.headline[name] = found
            lines.append(point(found, where=where, arm="top", k=k))
        random = stack(writing, f"write_random_{where}")
        if random.shape[-1]:
            name = f"write_heads_random{HEADLINE_K}{suffix}"
            run.headline[name] = held.arm(name, random.mean(-1))
            lines.append(point(run.headline[name], where=where, arm="random", k=HEADLINE_K))
        for arm in ("all_heads", "all_mlps"):
            found = held.arm(f"write_{arm}{suffix}", stack(writing, f"write_{arm}_{where}"))
            lines.append(point(found, where=where, arm=arm, k=None))
    run.tables["write_curve"] = lines
