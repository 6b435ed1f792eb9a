"""Where in the notes and at which depth: layers, labels, regions, kinds of token, and single cells."""

from collections.abc import Sequence

import numpy as np
from einops import rearrange

from experiments.patching.measure import Measured
from experiments.patching.scored import PARTS
from experiments.patching.settings import PatchingSettings
from experiments.patching.tables import (
    GridCost,
    GridExample,
    GridRegion,
    Layer,
    Position,
    TokenClass,
    TokenKind,
)
from pkv_interp.records.tables import TableRow
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import stacked
from pkv_interp.run.tokens import token_table
from pkv_interp.stats import Estimate
from pkv_interp.tasks import Case
from pkv_interp.tasks.anchors import token_classes
from pkv_interp.tasks.sites import site_labels


def notes_of(case: Case, names: Sequence[str]) -> list[str]:
    """The part of a per-token list that belongs to the notes."""
    return list(names[case.after_change : case.clean.decision])


def places(found: Measured, held: Scorer) -> list[TableRow]:
    """Layers, position labels, regions and kinds of token; an example prompt token by token."""
    by_region = [notes_of(case, case.clean.kinds) for case in held.cases]
    by_class = [notes_of(case, token_classes(case.clean.tokens)) for case in held.cases]
    example = found.scored.at(held.cases[0])
    gap = example.clean - example.corrupt
    moved = example.positions["KV"] - example.corrupt
    return [
        *_layers(found, held),
        *_labels(found, held),
        *(
            TokenKind.of(estimate, kind=name, positions_per_prompt=count)
            for name, estimate, count in _summed(found, held, by_region)
        ),
        *(
            TokenClass.of(estimate, token_class=name, positions_per_prompt=count)
            for name, estimate, count in _summed(found, held, by_class)
        ),
        *token_table(held.cases[0], moved / gap if gap else np.zeros_like(moved)),
    ]


def _layers(found: Measured, held: Scorer) -> list[Layer]:
    lines = []
    for part in PARTS:
        values = stacked(found.scored.of(held.cases), lambda s, part=part: s.layers[part])
        tested = zip(held.recoveries(values), held.adjusted(values), strict=True)
        lines += [
            Layer.of(estimate, layer=layer, part=part, p_adjusted=p)
            for layer, (estimate, p) in enumerate(tested)
        ]
    return lines


def _labels(found: Measured, held: Scorer) -> list[Position]:
    """Labels that every case has, tested together; a label has the mean over its positions.

    Prompts of own pairs may have no label in common, and then there is nothing to test.
    """
    named = [np.array(notes_of(case, site_labels(case.clean))) for case in held.cases]
    shared = [n for n in dict.fromkeys(named[0].tolist()) if all((mine == n).any() for mine in named)]
    lines = []
    for part in PARTS if shared else ():
        values = np.array(
            [
                [one.positions[part][mine == name].mean() for name in shared]
                for mine, one in zip(named, found.scored.of(held.cases), strict=True)
            ]
        )
        tested = zip(shared, held.recoveries(values), held.adjusted(values), strict=True)
        lines += [Position.of(estimate, label=name, part=part, p_adjusted=p) for name, estimate, p in tested]
    return lines


def _summed(
    found: Measured, held: Scorer, groups: Sequence[Sequence[str]]
) -> list[tuple[str, Estimate, float]]:
    """By group: the sum of single-position recoveries, and how many positions a prompt has of it."""
    scored = found.scored.of(held.cases)
    out = []
    for name in sorted({group for mine in groups for group in mine}):
        masks = [np.array([group == name for group in mine]) for mine in groups]
        total = [
            one.corrupt + float((one.positions["KV"] - one.corrupt)[mask].sum())
            for one, mask in zip(scored, masks, strict=True)
        ]
        out.append((name, held.recovery(total), float(np.mean([mask.sum() for mask in masks]))))
    return out


def grids(
    found: Measured, scorer: Scorer, settings: PatchingSettings
) -> tuple[list[TableRow], dict[str, np.ndarray]]:
    """The (layer, position) grid: summed by region and tested, what it took, and one example whole.

    Args:
        found: all that was measured.
        scorer: of the cases on which every cell is patched.
        settings: parts of the cache.

    Returns:
        Lines of the tables; recovery of the example's cells [layers, notes] by part, as arrays of the record.
    """
    cases, measured = scorer.cases, found.grids.of(scorer.cases)
    regions = [notes_of(case, case.clean.kinds) for case in cases]
    shared = [name for name in dict.fromkeys(regions[0]) if all(name in mine for mine in regions)]
    lines: list[TableRow] = []
    for part in settings.grid_parts if shared else ():
        moved = [one.cells[part] - one.corrupt for one in measured]
        cells = np.stack(
            [
                np.stack([m[:, [region == name for region in mine]].sum(1) for name in shared], 1)
                for m, mine in zip(moved, regions, strict=True)
            ]
        )
        patched = rearrange(cells, "cases layers regions -> cases (layers regions)")
        patched = patched + scorer.corrupt[:, None]
        tested = zip(scorer.recoveries(patched), scorer.adjusted(patched), strict=True)
        lines += [
            GridRegion.of(
                estimate, layer=i // len(shared), region=shared[i % len(shared)], part=part, p_adjusted=p
            )
            for i, (estimate, p) in enumerate(tested)
        ]
    lines += [
        GridCost(case.instance, part, len(case.clean), one.cells[part].size, one.seconds[part])
        for case, one in zip(cases, measured, strict=True)
        for part in settings.grid_parts
    ]
    gap = scorer.gap[0] or 1.0
    arrays = {
        f"grid_{part}": (measured[0].cells[part] - measured[0].corrupt) / gap for part in settings.grid_parts
    }
    part = settings.grid_parts[-1]
    return [*lines, *_example(cases[0], part, arrays[f"grid_{part}"])], arrays


def _example(case: Case, part: str, recovery: np.ndarray) -> list[GridExample]:
    return [
        GridExample(
            case.instance,
            part,
            layer,
            row.tolist(),
            notes_of(case, case.clean.tokens) if layer == 0 else [],
            notes_of(case, case.clean.kinds) if layer == 0 else [],
        )
        for layer, row in enumerate(recovery)
    ]
