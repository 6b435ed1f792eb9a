"""Decompositions, the cheap screen and faithfulness: a second look at what the circuit experiment found."""

from typing import Literal

import numpy as np

from experiments.circuit.measure import Measured
from experiments.circuit.settings import HEADLINE_K, CircuitSettings
from experiments.circuit.sites import Sites
from experiments.circuit.tables import (
    AttentionShare,
    AttentionShareDepth,
    DirectLogits,
    Faithfulness,
    Screening,
    ScreeningPoint,
)
from pkv_interp.records.run import control
from pkv_interp.records.schema import Control
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Bounds, Headline
from pkv_interp.run.right_pairs import Section
from pkv_interp.run.scoring import Scorer, Scoring
from pkv_interp.run.stage import stacked
from pkv_interp.stats import mean
from pkv_interp.stats.agreement import agreement
from pkv_interp.stats.faithfulness import faithfulness


def decompositions(found: Measured, held: Scorer) -> Section:
    """What wrote the notes (attention against MLPs, by depth), and direct effects on the margin."""
    reading = found.reading.of(held.cases)
    attention = stacked(reading, lambda r: r.share_attention)
    mlp = stacked(reading, lambda r: r.share_mlp)
    # The depth that counts is where the notes are read: the input of the median read head's layer.
    depth = max(int(np.median([la for la, _ in found.plan.readers[:HEADLINE_K]])) - 1, 0)
    what = "attention's share of the note where it is read"
    return [Headline("attention_share", held.mean(attention[:, depth]), what)], [
        *(
            AttentionShare.of(held.mean(attention[:, la]), layer=la, **interval("mlp", held.mean(mlp[:, la])))
            for la in range(attention.shape[1])
        ),
        AttentionShareDepth(depth),
        *_direct(found, held),
    ]


def parts_sum(found: Measured, held: Scorer, scoring: Scoring[CircuitSettings]) -> list[Control]:
    """Whether the parts of the exact decompositions sum to the whole."""
    reading = found.reading.of(held.cases)
    allowed = scoring.tolerance.parts
    return [
        control(
            "direct_logits_sum",
            float(stacked(reading, lambda r: r.direct_error).max()),
            0.0,
            allowed,
            "parts against the margin difference, relative to max(1, difference)",
        ),
        control(
            "write_parts_sum",
            float(stacked(reading, lambda r: r.share_error).max()),
            0.0,
            allowed,
            "what attention, MLP and embedding wrote against the stream, all depths",
        ),
    ]


def _direct(found: Measured, held: Scorer) -> list[DirectLogits]:
    reading = found.reading.of(held.cases)
    gap = float(held.gap.sum())
    heads = stacked(reading, lambda r: r.direct_heads).sum(0) / gap
    mlps = stacked(reading, lambda r: r.direct_mlps).sum(0) / gap
    return [
        *(DirectLogits("head", la, h, float(value)) for (la, h), value in np.ndenumerate(heads)),
        *(DirectLogits("mlp", la, None, float(value)) for la, value in enumerate(mlps)),
    ]


#: What each measure of the screen cannot go below and above.
_BOUNDS: dict[str, Bounds] = {
    "rank_correlation": (-1.0, 1.0),
    "relative_error": NOT_NEGATIVE,
    "overlap": SHARE,
}
_Kind = Literal["kv", "heads", "mlps"]


def _screened(site: Sites, kind: _Kind) -> tuple[np.ndarray, np.ndarray]:
    """First-order and exact effects of one kind of site, in logits."""
    match kind:
        case "kv":
            cheap, patched = site.screen_kv, site.positions
        case "heads":
            cheap, patched = site.screen_heads, site.heads
        case "mlps":
            cheap, patched = site.screen_mlps, site.mlps
    return np.asarray(cheap, float), np.asarray(patched, float) - site.corrupt


def screening(found: Measured, held: Scorer) -> Section:
    """Attribution patching against the exact patch of the same sites."""
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    points: list[TableRow] = []
    kinds: tuple[_Kind, ...] = ("kv", "heads", "mlps")
    for kind in kinds:
        pairs = [_screened(site, kind) for site in found.sites.of(held.cases)]
        agreed = [agreement(cheap, exact, HEADLINE_K) for cheap, exact in pairs]
        for name, (low, high) in _BOUNDS.items():
            values = [getattr(a, name) for a in agreed]
            known = [(v, f) for v, f in zip(values, held.families, strict=True) if v is not None]
            if not known:
                continue
            ends = (-np.inf if low is None else low, np.inf if high is None else high)
            estimate = mean([v for v, _ in known], [f for _, f in known], bounds=ends, **held.resampling)
            lines.append(Screening.of(estimate, sites=kind, measure=name))
            if kind == "heads" and name == "rank_correlation":
                what = "attribution against exact patch, heads"
                headlines.append(Headline("atp_rank_correlation", estimate, what, bounds=(low, high)))
        if kind != "kv":
            gap = float(held.gap.sum())
            cheap, exact = (np.stack([pair[i] for pair in pairs]).sum(0) / gap for i in (0, 1))
            points += [
                ScreeningPoint(kind, "L" + ".".join(map(str, at)), float(cheap[at]), float(exact[at]))
                for at in np.ndindex(*cheap.shape)
            ]
    return headlines, [*lines, *points]


def faithfulness_curves(found: Measured, held: Scorer, settings: CircuitSettings) -> Section:
    """Share of the margin that survives when all but a circuit's heads are replaced."""
    reading = found.reading.of(held.cases)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for ablation, suffix, scores in (
        ("interchange", "", stacked(reading, lambda r: r.keep_interchange)),
        ("mean", "_mean", stacked(reading, lambda r: r.keep_mean)),
    ):
        curve = faithfulness(
            settings.shares, scores, scores[:, 0], scores[:, -1], held.families, **held.resampling
        )
        lines += [
            Faithfulness.of(estimate, ablation=ablation, share=share)
            for share, estimate in zip(curve.shares, curve.curve, strict=True)
        ]
        headlines += [
            Headline(f"faithfulness_auc{suffix}", curve.area, f"area under faithfulness, {ablation}"),
            Headline(
                f"faithfulness_distance{suffix}",
                curve.distance,
                f"area between faithfulness and 1, {ablation}",
                bounds=NOT_NEGATIVE,
            ),
        ]
    return headlines, lines
