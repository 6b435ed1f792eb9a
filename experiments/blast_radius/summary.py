"""From measured deviations to the blast radius experiment's report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.blast_radius.effects import effects
from experiments.blast_radius.flips import BLAST, ScoredFlip, grouped, mean_score, scored_flips
from experiments.blast_radius.measure import Example, Measured
from experiments.blast_radius.settings import BlastRadiusSettings
from experiments.blast_radius.tables import ByClass, ByField, ByKind, MapToken, Thresholds
from experiments.blast_radius.trends import by_changed_tokens, by_depth, by_distance, like_for_like, trends
from pkv_interp.measure.deviation import MEASURES
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Resampling, Scoring, row_of
from pkv_interp.stats import difference, ratio_of_means
from pkv_interp.tasks.field_classes import CLASSES
from pkv_interp.tasks.token_kinds import token_kinds

_ROW_SCORES = ("share_0.05", "share_0.1", "mean_output", "mean_k_cosine", "mean_v_cosine")
_CLASS_SCORES = (*_ROW_SCORES, "margin_shift")


def summarise(found: Measured, scoring: Scoring[BlastRadiusSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    settings, resampling = scoring.settings, scoring.resampling
    decided = [d for _, one in found.flips for d in one.decisions]
    gate = scoring.gate(decided, settings.competence_threshold, found.screened)
    flips = scored_flips(found, settings.thresholds)
    semantic = [flip for flip in flips if flip.flip.flip == "semantic"]
    effect = effects(semantic, scoring)
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *_headlines(flips, semantic, resampling), *effect.headlines],
        tables=[
            gate.table,
            *gate.screen,
            *_thresholds(flips, settings.thresholds, resampling),
            *_classes(flips, resampling),
            *_by_kind(semantic, resampling),
            *by_distance(semantic, resampling),
            *by_depth(semantic, resampling),
            *by_changed_tokens(flips, resampling),
            *trends(semantic, resampling),
            *like_for_like(flips, resampling),
            *_map(found.example),
            *effect.tables,
        ],
        rows=[*map(_row, flips), *effect.rows, *gate.rows],
    )


def _row(scored: ScoredFlip) -> Row:
    flip = scored.flip
    return row_of(
        flip.case,
        f"{flip.field_class}/{flip.flip}/{flip.n_fillers}",
        clean=scored.found.clean,
        corrupt=scored.found.corrupt,
        extra={
            "field": flip.field,
            "new": flip.new,
            "old": flip.old,
            "tokens": len(flip.case.clean),
            "changed_tokens": scored.n_changed,
            "before_field": scored.scores["before"],
            **{score: scored.scores[score] for score in _ROW_SCORES},
        },
    )


def _headlines(
    flips: Sequence[ScoredFlip], semantic: Sequence[ScoredFlip], resampling: Resampling
) -> list[Headline]:
    """Deviations, which describe the cache of any model and need no gate."""
    before = mean_score(flips, "before", resampling)
    headlines = [
        Headline(name, before, "largest deviation before the field", needs_gate=False, bounds=NOT_NEGATIVE)
        for name in ("before_field_max", "prefix_deviation")
    ]
    shares: dict[str, dict[tuple[Any, ...], float]] = {}
    for (name,), part in grouped(semantic, "field_class"):
        for prefix, score, limit in (("blast", "share_0.1", 0.1), ("downstream", "share_0.05", 0.05)):
            what = f"tokens after the field above {limit}, class {name}"
            estimate = mean_score(part, score, resampling)
            headlines.append(
                Headline(f"{prefix}_share_{name}", estimate, what, needs_gate=False, bounds=SHARE)
            )
        shares[name] = {
            (f.family, f.flip.case.instance, f.flip.n_fillers): f.scores["share_0.1"] for f in part
        }
    if "low" not in shares:  # own pairs: all of them turn the conclusion
        return headlines
    pairs = [(key[0], value, shares["low"][key]) for key, value in shares["high"].items()]
    more = difference(
        [high for _, high, _ in pairs], [low for _, _, low in pairs], [f for f, _, _ in pairs], **resampling
    )
    what = "share above 0.1, class high minus class low"
    return [
        *headlines,
        Headline("blast_share_high_minus_low", more, what, needs_gate=False, bounds=(-1.0, 1.0)),
    ]


def _thresholds(
    flips: Sequence[ScoredFlip], thresholds: Sequence[float], resampling: Resampling
) -> list[Thresholds]:
    return [
        Thresholds.of(
            mean_score(part, f"{measure}_{tau}", resampling),
            field_class=name,
            flip=flip,
            measure=measure,
            threshold=tau,
        )
        for (name, flip), part in grouped(flips, "field_class", "flip")
        for measure in ("output", "kv_cosine")
        for tau in thresholds
    ]


def _classes(flips: Sequence[ScoredFlip], resampling: Resampling) -> list[TableRow]:
    """Scores by class and flip over all lengths and by length, and by field."""
    return [
        *(
            ByClass.of(
                mean_score(part, score, resampling),
                field_class=key[0],
                flip=key[1],
                n_fillers=key[2] if len(key) > 2 else None,
                quantity=score,
            )
            for keys in (("field_class", "flip"), ("field_class", "flip", "n_fillers"))
            for key, part in grouped(flips, *keys)
            for score in _CLASS_SCORES
        ),
        *(
            ByField.of(mean_score(part, "share_0.1", resampling), field_class=name, field=field, flip=flip)
            for (name, field, flip), part in grouped(flips, "field_class", "field", "flip")
            if name != "high"  # there every family has a field of its own
        ),
    ]


def _by_kind(semantic: Sequence[ScoredFlip], resampling: Resampling) -> list[ByKind]:
    """Per class and token kind: mean deviation, share above 0.1, share of all deviation and of all tokens."""
    lines = []
    for name in CLASSES:
        mine = [flip for flip in semantic if flip.flip.field_class == name]
        families = [flip.family for flip in mine]
        total = np.array([flip.output.sum() for flip in mine])
        size = np.array([flip.output.size for flip in mine], float)
        for kind in sorted({str(k) for flip in mine for k in flip.kinds}):
            picked = [flip.output[flip.kinds == kind] for flip in mine]
            moved, count = np.array([p.sum() for p in picked]), np.array([p.size for p in picked], float)
            parts = {
                "mean_output": (moved, count),
                "share_0.1": (np.array([(p > BLAST).sum() for p in picked], float), count),
                "deviation_mass": (moved, total),
                "token_share": (count, size),
            }
            for quantity, (top, below) in parts.items():
                if below.sum() > 0.0:
                    found = ratio_of_means(top, below, families, **resampling)
                    lines.append(ByKind.of(found, field_class=name, kind=kind, quantity=quantity))
    return lines


def _map(example: Example) -> list[MapToken]:
    """The example prompt, a line per token, with four digits a number."""
    flip, prompt = example.flip, example.flip.case.clean
    span = range(*flip.case.change)

    def layers(measure: str, position: int) -> list[float]:
        return [float(f"{v:.4g}") for v in example.values[MEASURES.index(measure), :, position].astype(float)]

    return [
        MapToken(
            position=i,
            token=prompt.tokens[i],
            kind=prompt.kinds[i],
            token_kind=kind,
            changed=i in span,
            family=flip.case.family,
            instance=flip.case.instance,
            old=flip.old,
            new=flip.new,
            k=layers("k_cosine", i),
            v=layers("v_cosine", i),
            output=layers("output", i),
        )
        for i, kind in enumerate(token_kinds(prompt)[: prompt.decision])
    ]
