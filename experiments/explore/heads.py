"""Measured at heads: put in from the clean prompt, or knocked out on both prompts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from experiments.explore.desk import Report
from experiments.explore.notes import LEAST_GAP
from pkv_interp.engine import Engine, Prefill
from pkv_interp.interventions import HeadPatch, Row
from pkv_interp.measure.heads import Head, all_heads, random_heads_like, top_heads
from pkv_interp.measure.pairs import PairRun, margins

Mode = Literal["patch", "knockout"]
#: Rows between two reports: of one token each, or of the prompt from the first chosen word on.
_ROWS, _RERUNS = 128, 16
#: Sizes of the cumulative curve, and random sets beside each.
SIZES, DRAWS = (1, 2, 4, 8, 12, 16, 24, 32), 3


@dataclass(frozen=True)
class Site:
    """Where heads are patched.

    Attributes:
        words: at these positions, with everything after them run again; None is the decision token.
        mode: patch or knock out.
    """

    words: tuple[int, ...] | None
    mode: Mode


@dataclass(frozen=True)
class Curve:
    """Effects of growing sets: the best heads of this very prompt, and random ones of the same layers.

    Attributes:
        sizes: number of heads.
        top: effect by size.
        random: effects of each draw, by size; NaN where the layers have too few others for such a set.
    """

    sizes: tuple[int, ...]
    top: Float[np.ndarray, " sizes"]
    random: Float[np.ndarray, "sizes draws"]


def head_effects(
    engine: Engine, pair: PairRun, sets: Sequence[Sequence[Head]], site: Site, report: Report
) -> Float[np.ndarray, " sets"]:
    """The effect of each set of heads, as a share of the gap between both prompts.

    Patched: the recovery of the corrupt prompt. Knocked out: the share of the gap that is gone when the heads
    put out their mean of both prompts on either. NaN where the prompts have no gap to speak of.

    Args:
        engine: of the model.
        pair: run with the activations that the site needs.
        sets: of heads.
        site: where, and what is done.
        report: is told how far it is.
    """
    rows = [_row(heads, site) for heads in sets]
    if site.mode == "patch":
        found = _decoded(engine, pair.corrupt, rows, pair, pair.clean, report)
        values = found - pair.corrupt_margin
    else:
        donor = _mean(pair, site)
        half = len(rows)
        clean = _decoded(engine, pair.clean, rows, pair, donor, lambda d, n: report(d, 2 * n))
        corrupt = _decoded(engine, pair.corrupt, rows, pair, donor, lambda d, n: report(d + half, 2 * n))
        values = pair.gap - (clean - corrupt)
    return np.full(len(rows), np.nan) if abs(pair.gap) < LEAST_GAP else values / pair.gap


def sweep(engine: Engine, pair: PairRun, site: Site, report: Report) -> Float[np.ndarray, "layers heads"]:
    """The effect of every single head."""
    every = all_heads(engine.spec)
    found = head_effects(engine, pair, [(head,) for head in every], site, report)
    return found.reshape(engine.spec.n_layers, engine.spec.n_heads)


def curve(
    engine: Engine,
    pair: PairRun,
    effects: Float[np.ndarray, "layers heads"],
    site: Site,
    rng: np.random.Generator,
    report: Report,
) -> Curve:
    """Growing sets of the best heads, and random sets beside them.

    Args:
        engine: of the model.
        pair: clean and corrupt prompt.
        effects: of single heads, by which they are ranked.
        site: where, and what is done.
        rng: draws the random sets.
        report: is told how far it is.
    """
    sizes = tuple(size for size in SIZES if size <= effects.size)
    order = top_heads(np.nan_to_num(effects), sizes[-1])
    sets: list[Sequence[Head]] = [order[:size] for size in sizes]
    for size in sizes:
        sets += [random_heads_like(order[:size], engine.spec.n_heads, rng) for _ in range(DRAWS)]
    found = head_effects(engine, pair, sets, site, report)
    drawn = found[len(sizes) :].reshape(len(sizes), DRAWS)
    # A set that uses up its layers leaves fewer others, and a smaller set is no control for it.
    counts = np.array([len(one) for one in sets[len(sizes) :]]).reshape(len(sizes), DRAWS)
    return Curve(sizes, found[: len(sizes)], np.where(counts == np.array(sizes)[:, None], drawn, np.nan))


def _row(heads: Sequence[Head], site: Site) -> Row:
    at = (None,) if site.words is None else site.words
    return tuple(HeadPatch(layer, head, 0, position) for layer, head in heads for position in at)


def _mean(pair: PairRun, site: Site) -> Prefill:
    """The clean prompt whose heads put out their mean of both prompts."""
    if site.words is None:
        return replace(pair.clean, z=(pair.clean.z + pair.corrupt.z) / 2)
    return replace(pair.clean, z_all=(pair.clean.need("z_all") + pair.corrupt.need("z_all")) / 2)


def _decoded(
    engine: Engine,
    base: Prefill,
    rows: Sequence[Row],
    pair: PairRun,
    donor: Prefill,
    report: Report,
) -> Float[np.ndarray, " rows"]:
    run_again = any(edit.position is not None for row in rows for edit in row if isinstance(edit, HeadPatch))
    decode, size = (engine.rerun, _RERUNS) if run_again else (engine.decode, _ROWS)
    found = []
    for start in range(0, len(rows), size):
        report(start, len(rows))
        part = decode(base, rows[start : start + size], (donor,), pair.case.action_ids)
        found.append(margins(part))
    return np.concatenate(found)
