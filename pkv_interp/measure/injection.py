"""Notes moved between prompts: false notes against a live field, and resampling of notes and of the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from pkv_interp.engine import Engine, Prefill
from pkv_interp.interventions import KVPatch, Row
from pkv_interp.measure.pairs import PairRun, margins
from pkv_interp.measure.patching import joint_positions


def inject(
    engine: Engine, pair: PairRun, sets: Sequence[Sequence[int]]
) -> dict[str, Float[np.ndarray, " sets"]]:
    """Margins when each set of positions holds the other prompt's notes, in both directions.

    ``to_clean`` is the corrupt prompt with clean notes, ``to_corrupt`` the clean prompt with corrupt ones;
    the field stays live in both (arXiv 2606.17107, false-note injection).

    Args:
        engine: of the model that the prompts were run on.
        pair: clean and corrupt prompt.
        sets: sets of positions.
    """
    turned = replace(pair, clean=pair.corrupt, corrupt=pair.clean)
    return {
        "to_clean": joint_positions(engine, pair, sets),
        "to_corrupt": joint_positions(engine, turned, sets),
    }


def resample(
    engine: Engine,
    base: Prefill,
    donors: Mapping[str, Prefill],
    sets: Mapping[str, Sequence[int]],
    action_ids: tuple[int, int],
) -> dict[str, dict[str, float]]:
    """Margin of ``base`` when it reads each set of positions from each donor; by donor, then by set.

    This is causal scrubbing of the claim that the notes carry the conclusion and nothing else matters: what
    the claim calls equal is resampled (arXiv 2606.17107, causal scrubbing).

    Args:
        engine: of the model that the prompts were run on.
        base: the prompt whose decision is read.
        donors: by name, prompts of its length.
        sets: by name, sets of positions.
        action_ids: the first action's token and the second's.
    """
    rows: list[Row] = [
        (KVPatch(tuple(positions), donor),) for donor in range(len(donors)) for positions in sets.values()
    ]
    values = margins(engine.decode(base, rows, tuple(donors.values()), action_ids)).tolist()
    n = len(sets)
    return {name: dict(zip(sets, values[i * n : (i + 1) * n], strict=True)) for i, name in enumerate(donors)}
