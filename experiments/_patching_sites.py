"""Position- and layer-resolved tables of the patching experiment."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._patching_cases import HEADLINE_K
from experiments._scores import Scorer, point, stack
from pkv_interp.measure.ranking import rank_labels
from pkv_interp.records import Run
from pkv_interp.tasks import Case
from pkv_interp.tasks.anchors import token_classes
from pkv_interp.tasks.sites import site_labels

if TYPE_CHECKING:
    from experiments._patching_measures import Chunk
    from experiments.patching import PatchingSettings

Found = tuple[Sequence[Case], Sequence["Chunk"]]
PARTS = ("K", "V", "KV")


def labels(case: Case) -> tuple[str, ...]:
    """Labels of a case's notes, in order; they hold across families."""
    return site_labels(case.clean)[case.after_change : case.clean.decision]


def notes_of(case: Case, names: Sequence[str]) -> list[str]:
    """The part of a per-token list that belongs to the notes."""
    return list(names[case.after_change : case.clean.decision])


def sites(run: Run, held: Scorer, ranked: Found, scored: Found) -> None:
    """Layers, position labels, regions and token kinds; an example prompt token by token."""
    cases, chunks = scored
    run.tables["layers"] = [
        point(found, layer=layer, part=part, p_adjusted=p)
        for part in PARTS
        for values in [stack(chunks, "layers", part)]
        for layer, (found, p) in enumerate(zip(held.recoveries(values), held.adjusted(values), strict=True))
    ]
    thirds = list(chunks[0]["thirds"])
    run.tables["layer_thirds"] = [
        point(found, layers=third)
        for third, found in zip(
            thirds, held.recoveries(np.stack([stack(chunks, "thirds", t) for t in thirds], 1)), strict=True
        )
    ]
    _labels(run, held, ranked, scored)
    by_region = [notes_of(c, c.clean.kinds) for c in cases]
    by_class = [notes_of(c, token_classes(c.clean.tokens)) for c in cases]
    run.tables["token_kinds"] = _summed(held, chunks, by_region, "kind")
    run.tables["token_classes"] = _summed(held, chunks, by_class, "token_class")
    _example(run, cases[0], chunks[0])


def _labels(run: Run, held: Scorer, ranked: Found, scored: Found) -> None:
    """Labels ranked on one side beside the other, and tested; a label has the mean over its positions."""
    both = []
    for cases, chunks in (ranked, scored):
        moved = []
        for chunk in chunks:
            found = chunk["positions"]
            values = found["KV"] if isinstance(found, dict) else found
            moved.append(np.asarray(values, float) - chunk["corrupt"])
        gaps = [c["clean"] - c["corrupt"] for c in chunks]
        both.append(dict(rank_labels([labels(c) for c in cases], moved, gaps)))
    run.tables["sites"] = [
        {"label": label, "discovery": value, "held_out": both[1].get(label), "aggregator": rank < HEADLINE_K}
        for rank, (label, value) in enumerate(both[0].items())
    ]
    cases, chunks = scored
    named = [np.array(labels(c)) for c in cases]
    shared = [n for n in dict.fromkeys(named[0].tolist()) if all((mine == n).any() for mine in named)]
    lines: list[dict[str, Any]] = []
    for part in PARTS:
        values = np.array(
            [
                [np.asarray(chunk["positions"][part], float)[mine == name].mean() for name in shared]
                for mine, chunk in zip(named, chunks, strict=True)
            ]
        )
        tested = zip(shared, held.recoveries(values), held.adjusted(values), strict=True)
        lines += [point(found, label=name, part=part, p_adjusted=p) for name, found, p in tested]
    run.tables["positions"] = lines


def _summed(
    held: Scorer, chunks: Sequence["Chunk"], groups: Sequence[Sequence[str]], column: str
) -> list[dict[str, Any]]:
    """Sum of single-position recoveries by group, and how many positions a prompt has of it."""
    lines = []
    for name in sorted({g for mine in groups for g in mine}):
        masks = [np.array([g == name for g in mine]) for mine in groups]
        total = [
            chunk["corrupt"]
            + float((np.asarray(chunk["positions"]["KV"], float) - chunk["corrupt"])[mask].sum())
            for chunk, mask in zip(chunks, masks, strict=True)
        ]
        count = float(np.mean([mask.sum() for mask in masks]))
        lines.append(point(held.recovery(total), **{column: name}, positions_per_prompt=count))
    return lines


def _example(run: Run, case: Case, chunk: "Chunk") -> None:
    gap = chunk["clean"] - chunk["corrupt"]
    effects = np.zeros(len(case.clean))
    moved = np.asarray(chunk["positions"]["KV"], float) - chunk["corrupt"]
    effects[case.after_change : case.clean.decision] = moved / gap if gap else 0.0
    names = site_labels(case.clean)
    run.tables["tokens"] = [
        {
            "position": i,
            "token": token,
            "kind": kind,
            "label": names[i],
            "recovery": float(effects[i]),
            "family": case.family,
            "instance": case.instance,
            "changed": i in range(*case.clean.spans[case.changed]),
        }
        for i, (token, kind) in enumerate(zip(case.clean.tokens, case.clean.kinds, strict=True))
    ]


def grids(run: Run, settings: "PatchingSettings", gridded: Found) -> None:
    """The (layer, position) grid: summed by region and tested, one example whole, and what it took."""
    cases, chunks = gridded
    scorer = Scorer(run, cases, chunks, settings)
    regions = [notes_of(c, c.clean.kinds) for c in cases]
    shared = [n for n in dict.fromkeys(regions[0]) if all(n in mine for mine in regions)]
    lines: list[dict[str, Any]] = []
    for part in settings.grid_parts:
        moved = [np.asarray(c[part], float) - c["corrupt"] for c in chunks]
        cells = np.stack(
            [
                np.stack([m[:, [g == name for g in mine]].sum(1) for name in shared], 1)
                for m, mine in zip(moved, regions, strict=True)
            ]
        )
        patched = cells.reshape(len(chunks), -1) + scorer.corrupt[:, None]
        tested = zip(scorer.recoveries(patched), scorer.adjusted(patched), strict=True)
        lines += [
            point(found, layer=i // len(shared), region=shared[i % len(shared)], part=part, p_adjusted=p)
            for i, (found, p) in enumerate(tested)
        ]
        run.arrays[f"grid_{part}"] = moved[0] / (scorer.gap[0] or 1.0)
    run.tables["grid_regions"] = lines
    run.tables["grid_cost"] = [
        {
            "instance": case.instance,
            "part": part,
            "tokens": chunk["tokens"],
            "rows": int(np.asarray(chunk[part]).size),
            "seconds": chunk[f"seconds_{part}"],
        }
        for case, chunk in zip(cases, chunks, strict=True)
        for part in settings.grid_parts
    ]
    example = np.asarray(chunks[0][settings.grid_parts[-1]], float) - chunks[0]["corrupt"]
    run.tables["grid_example"] = [
        {
            "instance": cases[0].instance,
            "part": settings.grid_parts[-1],
            "layer": layer,
            "recovery": (row / (scorer.gap[0] or 1.0)).tolist(),
            "tokens": notes_of(cases[0], cases[0].clean.tokens) if layer == 0 else [],
            "kinds": notes_of(cases[0], cases[0].clean.kinds) if layer == 0 else [],
        }
        for layer, row in enumerate(example)
    ]
