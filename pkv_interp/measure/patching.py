"""Keys and values of the notes, patched by position, by layer, cell by cell and in growing sets."""

from collections.abc import Mapping, Sequence

import numpy as np
from einops import rearrange
from jaxtyping import Float

from pkv_interp.cache.frozen import Part
from pkv_interp.engine import Engine, Prefill
from pkv_interp.interventions import KVPatch, Row
from pkv_interp.measure.pairs import PairRun, decode_margins, margins


def position_rows(pair: PairRun, part: Part = "KV") -> list[Row]:
    """A row for each position of the notes, patched alone in all layers."""
    return [(KVPatch((p,), 0, part=part),) for p in pair.notes]


def grid_rows(pair: PairRun, n_layers: int, part: Part = "KV") -> list[Row]:
    """A row for each (layer, position) cell of the notes, patched alone; positions run fastest."""
    return [(KVPatch((p,), 0, (layer,), part),) for layer in range(n_layers) for p in pair.notes]


def sweep_positions(engine: Engine, pair: PairRun, part: Part = "KV") -> Float[np.ndarray, " notes"]:
    """Margin after patching keys, values or both at each single position of the notes, in all layers."""
    return decode_margins(engine, pair, position_rows(pair, part))


def sweep_layers(engine: Engine, pair: PairRun, part: Part = "KV") -> Float[np.ndarray, " L"]:
    """Margin after patching keys, values or both of all notes in one layer at a time."""
    return decode_margins(
        engine, pair, [(KVPatch(pair.notes, 0, (layer,), part),) for layer in range(engine.spec.n_layers)]
    )


def sweep_grid(engine: Engine, pair: PairRun, part: Part = "KV") -> Float[np.ndarray, "L notes"]:
    """Margin after patching each position of the notes in each single layer: L times P rows, packed."""
    n = engine.spec.n_layers
    margins = decode_margins(engine, pair, grid_rows(pair, n, part))
    return rearrange(margins, "(layers notes) -> layers notes", layers=n)


def joint_positions(
    engine: Engine, pair: PairRun, sets: Sequence[Sequence[int]]
) -> Float[np.ndarray, " sets"]:
    """Margin after patching each set of positions together; an empty set is the corrupt prompt itself."""
    rows: list[Row] = [(KVPatch(tuple(positions), 0),) if positions else () for positions in sets]
    return decode_margins(engine, pair, rows)


def thirds(n_layers: int) -> dict[str, tuple[int, ...]]:
    """Early, middle and late third of the layers; the empty ones of a very small model are left out."""
    parts = np.array_split(np.arange(n_layers), 3)
    named = zip(("early", "middle", "late"), parts, strict=True)
    return {name: tuple(int(i) for i in part) for name, part in named if len(part)}


def patch_thirds(engine: Engine, pair: PairRun) -> dict[str, float]:
    """Margin after patching all notes in one third of the layers."""
    named = thirds(engine.spec.n_layers)
    values = decode_margins(engine, pair, [(KVPatch(pair.notes, 0, layers),) for layers in named.values()])
    return dict(zip(named, values.tolist(), strict=True))


def suffix(positions: Sequence[int], share: float) -> tuple[int, ...]:
    """The last ``share`` of the positions, rounded up, at least one."""
    return tuple(positions[-_count(positions, share) :])


def prefix(positions: Sequence[int], share: float) -> tuple[int, ...]:
    """The first ``share`` of the positions, rounded up, at least one."""
    return tuple(positions[: _count(positions, share)])


def _count(positions: Sequence[int], share: float) -> int:
    return max(1, int(np.ceil(share * len(positions) - 1e-9)))


def first_reaching(recoveries: Float[np.ndarray, " sizes"], level: float) -> int | None:
    """Smallest set size (entry 0 is size 1) whose recovery is at least ``level``; None where none is."""
    reached = np.flatnonzero(np.asarray(recoveries) >= level - 1e-9)  # rounding is no shortfall
    return int(reached[0]) + 1 if reached.size else None


def order_by(effect: Mapping[str, float], names: Sequence[str], positions: Sequence[int]) -> list[int]:
    """Positions by the effect of their names, largest first; names without one come last, latest first.

    Args:
        effect: by name, measured on other instances.
        names: of each position in ``positions``.
        positions: to be put in order.
    """
    known = [(-effect[n], -p) for n, p in zip(names, positions, strict=True) if n in effect]
    unknown = [-p for n, p in zip(names, positions, strict=True) if n not in effect]
    return [-p for _, p in sorted(known)] + [-p for p in sorted(unknown)]


def twin_margins(engine: Engine, pair: PairRun, twin: Prefill) -> dict[str, float]:
    """Margin of the corrupt prompt that reads a same-conclusion prompt's KV at field, notes, or both."""
    rows: list[Row] = [
        (KVPatch(pair.changed, 0),),
        (KVPatch(pair.notes, 0),),
        (KVPatch(pair.changed + pair.notes, 0),),
    ]
    decoded = engine.decode(pair.corrupt, rows, (twin,), pair.case.action_ids)
    return dict(zip(("field", "notes", "both"), margins(decoded).tolist(), strict=True))
