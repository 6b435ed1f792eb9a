"""Read heads: heads patched at the decision token, alone and jointly, against random heads."""

from collections.abc import Sequence

import numpy as np
from einops import rearrange
from jaxtyping import Float

from pkv_interp.engine import Engine
from pkv_interp.finite import finite
from pkv_interp.interventions import HeadPatch, MLPPatch, Row
from pkv_interp.measure.pairs import PairRun, decode_margins
from pkv_interp.models.spec import ModelSpec

Head = tuple[int, int]
#: The way out where a ranking has no numbers to go by.
RANKED = "check that the margins of clean and corrupt prompts differ"


def head_sweep(engine: Engine, pair: PairRun) -> Float[np.ndarray, "L H"]:
    """Margin after patching each head's z at the decision token, one at a time."""
    spec = engine.spec
    rows: list[Row] = [(HeadPatch(layer, head, 0),) for layer, head in all_heads(spec)]
    margins = decode_margins(engine, pair, rows)
    return rearrange(margins, "(layers heads) -> layers heads", layers=spec.n_layers)


def mlp_sweep(engine: Engine, pair: PairRun) -> Float[np.ndarray, " L"]:
    """Margin after patching each MLP's output at the decision token, one at a time."""
    return decode_margins(engine, pair, [(MLPPatch(layer, 0),) for layer in range(engine.spec.n_layers)])


def joint_heads(engine: Engine, pair: PairRun, sets: Sequence[Sequence[Head]]) -> Float[np.ndarray, " sets"]:
    """Margin after patching each set of heads together at the decision token."""
    return decode_margins(engine, pair, [tuple(HeadPatch(la, h, 0) for la, h in heads) for heads in sets])


def all_heads(spec: ModelSpec) -> list[Head]:
    """Every (layer, head), layer by layer."""
    return [(layer, head) for layer in range(spec.n_layers) for head in range(spec.n_heads)]


def top_heads(effect: Float[np.ndarray, "L H"], k: int) -> list[Head]:
    """The k heads of largest effect, best first."""
    finite(effect, "the effects to rank", RANKED)
    order = np.argsort(-effect, axis=None, kind="stable")[:k]
    return [(int(i) // effect.shape[1], int(i) % effect.shape[1]) for i in order]


def random_heads_like(heads: Sequence[Head], n_heads: int, rng: np.random.Generator) -> list[Head]:
    """As many random heads of the same layers, none of them among ``heads``.

    A layer of which more than half is in the set has too few others; the rest is then drawn from the nearest
    layers of the set that still have some. Fewer heads come back only when the set's layers are used up.
    """
    layers = sorted({la for la, _ in heads})
    free = {la: [h for h in rng.permutation(n_heads).tolist() if (la, h) not in set(heads)] for la in layers}
    chosen: list[Head] = []
    for layer in layers:
        for _ in range(sum(la == layer for la, _ in heads)):
            nearest = min(
                (la for la in layers if free[la]), key=lambda la: (abs(la - layer), la), default=None
            )
            if nearest is None:
                return chosen
            chosen.append((nearest, free[nearest].pop()))
    return chosen


def attention_to(pair: PairRun, positions: Sequence[int]) -> Float[np.ndarray, "L H"]:
    """Attention mass from the decision token to the positions, per head, in the clean prompt."""
    return pair.clean.need("attn")[:, :, list(positions)].sum(-1).double().cpu().numpy()
