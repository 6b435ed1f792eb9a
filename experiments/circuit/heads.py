"""Which heads read the notes at the decision, and which write them during prefill."""

import numpy as np
from einops import rearrange

from experiments.circuit.measure import Measured
from experiments.circuit.settings import HEADLINE_K, CircuitSettings
from experiments.circuit.tables import (
    ReadCurve,
    ReadHead,
    ReadMLP,
    WriteCurve,
    WriteHead,
    WriteMLP,
    WriteSample,
)
from pkv_interp.measure.ranking import pooled_effect
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline
from pkv_interp.run.right_pairs import Section
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import stacked
from pkv_interp.stats import site_spearman


def reading_heads(found: Measured, held: Scorer, settings: CircuitSettings) -> Section:
    """The curve of joint read heads with its control, every head and MLP, and attention beside effect."""
    curve = _read_curve(found, held, settings)
    return curve[0] + _attention(found, held), [
        *curve[1],
        *_read_heads(found, held),
        *_read_mlps(found, held),
    ]


def _read_curve(found: Measured, held: Scorer, settings: CircuitSettings) -> Section:
    reading = found.reading.of(held.cases)
    top = stacked(reading, lambda r: r.read_top)
    random = stacked(reading, lambda r: r.read_random).mean(-1)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for i, k in enumerate(settings.sizes):
        for arm, values, what in (
            ("top", top[:, i], f"{k} read heads at the decision"),
            ("random", random[:, i], f"{k} random heads of those layers"),
        ):
            if arm == "random" and len(found.plan.random_readers[i][0]) < k:
                continue  # too few other heads in these layers: no control of this size exists
            name = f"read_heads_{arm}{k}"
            stated = k == HEADLINE_K
            estimate = held.arm(name, values) if stated else held.recovery(values)
            if stated:
                headlines.append(Headline(name, estimate, what))
            lines.append(ReadCurve.of(estimate, arm=arm, k=k))
    return headlines, lines


def _read_heads(found: Measured, held: Scorer) -> list[ReadHead]:
    sites, scored = found.sites.of(found.cases.discovery), found.sites.of(held.cases)
    effect = pooled_effect(
        stacked(sites, lambda s: s.heads),
        stacked(sites, lambda s: s.corrupt),
        stacked(sites, lambda s: s.clean),
    )
    heads = stacked(scored, lambda s: s.heads)
    pooled = pooled_effect(heads, held.corrupt, held.clean)
    notes = stacked(found.reading.of(held.cases), lambda r: r.attention_aggregators).mean(0)
    field = stacked(scored, lambda s: s.attention_field).mean(0)
    each = held.recoveries(rearrange(heads, "cases layers heads -> cases (layers heads)"))
    rank = {head: i + 1 for i, head in enumerate(found.plan.readers)}
    return [
        ReadHead(
            layer=la,
            head=h,
            rank=rank[la, h],
            discovery=float(effect[la, h]),
            held_out=float(pooled[la, h]),
            ci_low=each[la * pooled.shape[1] + h].ci_low,
            ci_high=each[la * pooled.shape[1] + h].ci_high,
            attention_aggregators=float(notes[la, h]),
            attention_field=float(field[la, h]),
        )
        for la, h in sorted(rank)
    ]


def _read_mlps(found: Measured, held: Scorer) -> list[ReadMLP]:
    values = stacked(found.sites.of(held.cases), lambda s: s.mlps)
    pooled = pooled_effect(values, held.corrupt, held.clean)
    return [ReadMLP(layer, float(value)) for layer, value in enumerate(pooled)]


def _attention(found: Measured, held: Scorer) -> list[Headline]:
    """Whether heads that look at a span are those that carry the decision."""
    scored = found.sites.of(held.cases)
    heads = stacked(scored, lambda s: s.heads) - held.corrupt[:, None, None]
    moved = rearrange(heads, "cases layers heads -> cases (layers heads)")
    masses = {
        "aggregators": stacked(found.reading.of(held.cases), lambda r: r.attention_aggregators),
        "field": stacked(scored, lambda s: s.attention_field),
    }
    headlines = []
    for name, mass in masses.items():
        seen = rearrange(mass, "cases layers heads -> cases (layers heads)")
        if np.ptp(seen.mean(0)) > 0.0:  # where every window ends before the field, no head sees it
            estimate = site_spearman(seen, moved, held.families, seed=held.resampling["seed"])
            what = f"attention to the {name} against effect, over heads"
            headlines.append(
                Headline(f"attention_{name}_rank_correlation", estimate, what, bounds=(-1.0, 1.0))
            )
    return headlines


def writing_heads(found: Measured, held: Scorer, settings: CircuitSettings) -> Section:
    """Every writer on discovery cases, and sets of them on held-out ones."""
    cases = found.cases.sweep
    swept, sweeps = found.sites.of(cases), found.sweeps.of(cases)
    corrupt, clean = stacked(swept, lambda s: s.corrupt), stacked(swept, lambda s: s.clean)
    top = pooled_effect(stacked(sweeps, lambda s: s.top), corrupt, clean)
    joint = pooled_effect(stacked(sweeps, lambda s: s.joint), corrupt, clean)
    rank = {head: i + 1 for i, head in enumerate(found.writers)}
    headlines, curve = _write_curve(found, held, settings)
    return headlines, [
        *(WriteHead(la, h, rank[la, h], float(top[la, h]), float(joint[la, h])) for la, h in sorted(rank)),
        WriteSample(len({case.family for case in cases}), len(cases)),
        *(WriteMLP(la, float(top[la, -1]), float(joint[la, -1])) for la in range(len(top))),
        *curve,
    ]


def _write_curve(found: Measured, held: Scorer, settings: CircuitSettings) -> Section:
    writing = found.writing.of(held.cases)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for where, suffix, place in (
        ("joint", "", "all aggregators"),
        ("top", "_one_aggregator", "one aggregator"),
    ):
        joint = [getattr(one, where) for one in writing]
        values = stacked(joint, lambda j: j.top)
        for i, k in enumerate(settings.sizes):
            name = f"write_heads_top{k}{suffix}"
            stated = k == HEADLINE_K
            estimate = held.arm(name, values[:, i]) if stated else held.recovery(values[:, i])
            if stated:
                headlines.append(Headline(name, estimate, f"{k} write heads, {place}"))
            lines.append(WriteCurve.of(estimate, where=where, arm="top", k=k))
        random = stacked(joint, lambda j: j.random)
        if random.shape[-1]:
            name = f"write_heads_random{HEADLINE_K}{suffix}"
            estimate = held.arm(name, random.mean(-1))
            headlines.append(Headline(name, estimate, f"{HEADLINE_K} random heads of those layers"))
            lines.append(WriteCurve.of(estimate, where=where, arm="random", k=HEADLINE_K))
        for arm, values in (
            ("all_heads", stacked(joint, lambda j: j.all_heads)),
            ("all_mlps", stacked(joint, lambda j: j.all_mlps)),
        ):
            estimate = held.arm(f"write_{arm}{suffix}", values)
            lines.append(WriteCurve.of(estimate, where=where, arm=arm, k=None))
    return headlines, lines
