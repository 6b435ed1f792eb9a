"""Measured at words: keys and values of the clean prompt that the corrupt prompt's decision reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.explore.desk import Report
from pkv_interp.cache.frozen import Part
from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch, Row
from pkv_interp.measure.pairs import PairRun, decode_margins

#: Rows of one packed forward between two reports.
CHUNK = 128
#: Logits below which the two margins are too close for shares of their gap.
LEAST_GAP = 1e-3

Layers = tuple[int, ...] | None


@dataclass(frozen=True)
class Joint:
    """Margins of the corrupt prompt with clean columns put in, in logits; the others are for comparison.

    Attributes:
        words: at the chosen words; None where none is chosen.
        notes: at every word after the change.
        changed: at the changed span alone.
        everything: at both, which is the clean prompt again where all layers are patched.
        itself: at both, with the corrupt prompt's own columns: nothing may move.
    """

    words: float | None
    notes: float
    changed: float
    everything: float
    itself: float


def band(layers: tuple[int, int] | None, n_layers: int) -> Layers:
    """The layers of a band, both ends included; None where they are all."""
    if layers is None:
        return None
    first, last = max(0, min(layers)), min(n_layers - 1, max(layers))
    return None if (first, last) == (0, n_layers - 1) else tuple(range(first, last + 1))


def in_parts(
    engine: Engine, pair: PairRun, rows: Sequence[Row], report: Report, size: int = CHUNK
) -> Float[np.ndarray, " rows"]:
    """Margins of rows, some at a time."""
    found = []
    for start in range(0, len(rows), size):
        report(start, len(rows))
        found.append(decode_margins(engine, pair, rows[start : start + size]))
    return np.concatenate(found)


def recovery(margins: Float[np.ndarray, "..."], pair: PairRun) -> Float[np.ndarray, "..."]:
    """Shares of the gap between both prompts; NaN where there is no gap to speak of."""
    if abs(pair.gap) < LEAST_GAP:
        return np.full_like(np.asarray(margins, float), np.nan)
    return (np.asarray(margins, float) - pair.corrupt_margin) / pair.gap


def word_margins(
    engine: Engine, pair: PairRun, part: Part, layers: Layers, report: Report
) -> Float[np.ndarray, " notes"]:
    """Margin with each single word of the notes patched."""
    rows: list[Row] = [(KVPatch((p,), 0, layers, part),) for p in pair.notes]
    return in_parts(engine, pair, rows, report)


def joint_margins(engine: Engine, pair: PairRun, words: Sequence[int], part: Part, layers: Layers) -> Joint:
    """Margins with words patched together, and what they are held against.

    Args:
        engine: of the model.
        pair: clean and corrupt prompt.
        words: positions, possibly none.
        part: keys, values or both.
        layers: of the band.
    """
    at = tuple(sorted(set(words)))
    both = pair.changed + pair.notes
    sites: list[tuple[int, ...]] = [pair.notes, pair.changed, both]
    rows: list[Row] = [(KVPatch(site, 0, layers, part),) for site in sites]
    rows.append((KVPatch(both, 1, layers, part),))
    if at:
        rows.append((KVPatch(at, 0, layers, part),))
    notes, changed, everything, itself, *chosen = decode_margins(engine, pair, rows).tolist()
    return Joint(chosen[0] if chosen else None, notes, changed, everything, itself)


def grid_margins(
    engine: Engine, pair: PairRun, part: Part, report: Report
) -> Float[np.ndarray, "layers notes"]:
    """Margin with each single word patched in each single layer."""
    layers, notes = engine.spec.n_layers, pair.notes
    # Layer by layer: the rows of a forward then skip all layers below.
    rows: list[Row] = [(KVPatch((p,), 0, (layer,), part),) for layer in range(layers) for p in notes]
    return in_parts(engine, pair, rows, report, 2 * CHUNK).reshape(layers, len(notes))


def attention_by_layer(pair: PairRun) -> Float[np.ndarray, "layers tokens"]:
    """Attention of the clean prompt's decision token on every token, mean over the heads of each layer."""
    return pair.clean.need("attn").double().mean(1).cpu().numpy()
