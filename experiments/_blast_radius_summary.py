"""From measured deviations to the blast radius experiment's rows, tables and headline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._blast_radius_effects import effects
from experiments._blast_radius_trends import by_changed_tokens, by_depth, by_distance, like_for_like, trends
from experiments._blast_radius_units import BLAST, Options, Unit, grouped, line, make_units, mean_score
from pkv_interp.measure.deviation import MEASURES
from pkv_interp.records import Run
from pkv_interp.stats import difference, ratio_of_means
from pkv_interp.tasks.field_classes import CLASSES, ClassCase
from pkv_interp.tasks.token_kinds import token_kinds

if TYPE_CHECKING:
    from experiments.blast_radius import BlastRadiusSettings, Chunk

_ROW_SCORES = ("share_0.05", "share_0.1", "mean_output", "mean_k_cosine", "mean_v_cosine")
_CLASS_SCORES = (*_ROW_SCORES, "margin_shift")


def summarise(
    run: Run, settings: "BlastRadiusSettings", cases: Sequence[ClassCase], chunks: Sequence["Chunk"]
) -> None:
    """Fill the record."""
    options: Options = {"seed": settings.seed, "draws": settings.bootstrap_draws}
    units = make_units(cases, chunks, settings.thresholds)
    semantic = [unit for unit in units if unit.found.flip == "semantic"]
    _rows(run, units)
    _headline(run, units, semantic, options)
    run.tables["thresholds"] = [
        line(
            mean_score(part, f"{measure}_{tau}", options),
            field_class=name,
            flip=flip,
            measure=measure,
            threshold=tau,
        )
        for (name, flip), part in grouped(units, "field_class", "flip")
        for measure in ("output", "kv_cosine")
        for tau in settings.thresholds
    ]
    # Without a number of fillers, a line is over all lengths.
    run.tables["by_class"] = [
        line(
            mean_score(part, score, options),
            field_class=key[0],
            flip=key[1],
            n_fillers=key[2] if len(key) > 2 else None,
            quantity=score,
        )
        for keys in (("field_class", "flip"), ("field_class", "flip", "n_fillers"))
        for key, part in grouped(units, *keys)
        for score in _CLASS_SCORES
    ]
    run.tables["by_field"] = [
        line(mean_score(part, "share_0.1", options), field_class=name, field=field, flip=flip)
        for (name, field, flip), part in grouped(units, "field_class", "field", "flip")
        if name != "high"  # there every family has a field of its own
    ]
    run.tables["by_kind"] = _by_kind(semantic, options)
    run.tables["by_distance"] = by_distance(semantic, options)
    run.tables["by_depth"] = by_depth(semantic, options)
    run.tables["by_changed_tokens"] = by_changed_tokens(units, options)
    run.tables["trends"] = trends(semantic, options) + like_for_like(units, options)
    run.tables["map"] = _map(units)
    effects(run, settings, semantic, options)


def _rows(run: Run, units: Sequence[Unit]) -> None:
    for unit in units:
        found, case = unit.found, unit.found.case
        run.rows.append(
            {
                "family": case.family,
                "split": case.split,
                "instance": case.instance,
                "wording": case.wording,
                "arm": f"{found.field_class}/{found.flip}/{found.n_fillers}",
                "clean": unit.chunk["clean"],
                "corrupt": unit.chunk["corrupt"],
                "extra": {
                    "field": found.field,
                    "new": found.new,
                    "old": found.old,
                    "tokens": len(case.clean),
                    "changed_tokens": unit.n_changed,
                    "before_field": unit.scores["before"],
                    **{score: unit.scores[score] for score in _ROW_SCORES},
                },
            }
        )


def _headline(run: Run, units: Sequence[Unit], semantic: Sequence[Unit], options: Options) -> None:
    run.headline["before_field_max"] = run.headline["prefix_deviation"] = mean_score(units, "before", options)
    shares: dict[str, dict[tuple[Any, ...], float]] = {}
    for (name,), part in grouped(semantic, "field_class"):
        run.headline[f"blast_share_{name}"] = mean_score(part, "share_0.1", options)
        run.headline[f"downstream_share_{name}"] = mean_score(part, "share_0.05", options)
        shares[name] = {
            (u.family, u.found.case.instance, u.found.n_fillers): u.scores["share_0.1"] for u in part
        }
    pairs = [(key[0], value, shares["low"][key]) for key, value in shares["high"].items()]
    run.headline["blast_share_high_minus_low"] = difference(
        [high for _, high, _ in pairs], [low for _, _, low in pairs], [f for f, _, _ in pairs], **options
    )


def _by_kind(semantic: Sequence[Unit], options: Options) -> list[dict[str, Any]]:
    """Per class and token kind: mean deviation, share above 0.1, share of all deviation and of all tokens."""
    lines = []
    for name in CLASSES:
        mine = [unit for unit in semantic if unit.found.field_class == name]
        families = [unit.family for unit in mine]
        total = np.array([unit.output.sum() for unit in mine])
        size = np.array([unit.output.size for unit in mine], float)
        for kind in sorted({str(k) for unit in mine for k in unit.kinds}):
            picked = [unit.output[unit.kinds == kind] for unit in mine]
            moved, count = np.array([p.sum() for p in picked]), np.array([p.size for p in picked], float)
            parts = {
                "mean_output": (moved, count),
                "share_0.1": (np.array([(p > BLAST).sum() for p in picked], float), count),
                "deviation_mass": (moved, total),
                "token_share": (count, size),
            }
            for quantity, (top, below) in parts.items():
                if below.sum() > 0.0:
                    found = ratio_of_means(top, below, families, **options)
                    lines.append(line(found, field_class=name, kind=kind, quantity=quantity))
    return lines


def _map(units: Sequence[Unit]) -> list[dict[str, Any]]:
    """The example prompt, a line per token; ``k``, ``v`` (cosine) and ``output`` list a number per layer."""
    unit = next(unit for unit in units if "map" in unit.chunk)
    found, prompt = unit.found, unit.found.case.clean
    values = np.asarray(unit.chunk["map"], float)
    span = range(*prompt.spans["field"])
    named = {"k": "k_cosine", "v": "v_cosine", "output": "output"}
    return [
        {
            "position": i,
            "token": prompt.tokens[i],
            "kind": prompt.kinds[i],
            "token_kind": kind,
            "changed": i in span,
            "family": found.case.family,
            "instance": found.case.instance,
            "old": found.old,
            "new": found.new,
            **{
                name: [float(f"{v:.4g}") for v in values[MEASURES.index(measure), :, i]]
                for name, measure in named.items()
            },
        }
        for i, kind in enumerate(token_kinds(prompt)[: prompt.decision])
    ]
