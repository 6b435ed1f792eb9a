"""How far a field's change moves the cache, and what attention makes of a cache that was not recomputed."""

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pkv_interp.engine import Engine, Prefill
from pkv_interp.measure.distance import cosine_distance, relative_l2

#: Mean over KV heads, or for ``output`` over heads.
MEASURES = ("k_cosine", "k_l2", "v_cosine", "v_l2", "output")


@dataclass(frozen=True)
class Deviation:
    """Deviation of a stale prompt from its oracle, per measure (``MEASURES``), layer and token of the cache.

    Attributes:
        values: 0 where nothing moved; relative L2 is over the oracle's norm.
        changed: half-open span of the tokens that differ.
    """

    values: Float[np.ndarray, "measures L T-1"]
    changed: tuple[int, int]

    def of(self, measure: str) -> Float[np.ndarray, "L T-1"]:
        """One measure over layers and tokens."""
        return self.values[MEASURES.index(measure)]

    @property
    def before(self) -> float:
        """Largest value of any measure before the changed span; causality asks for exactly 0."""
        return float(self.values[:, :, : self.changed[0]].max(initial=0.0))

    @property
    def most(self) -> Float[np.ndarray, "measures T-1"]:
        """The largest value over layers, per token."""
        return self.values.max(1)

    @property
    def depth(self) -> Float[np.ndarray, "measures L"]:
        """Mean over the tokens after the changed span, per layer."""
        return self.values[:, :, self.changed[1] :].mean(-1)


def field_deviation(engine: Engine, oracle: Prefill, stale: Prefill, changed: tuple[int, int]) -> Deviation:
    """Compare the oracle's cache with a stale one, and the attention outputs that they give.

    The output deviation is ||o_oracle - o_patched|| / ||o_oracle|| with the query held at the oracle's (new)
    value and the stale cache refreshed at the changed span only (arXiv 2606.17107, blast radius). Both
    outputs come from the same function, so that equal caches give 0 and not rounding.

    Args:
        engine: of the model that both were run on.
        oracle: prefill with the new value, run with ``capture={"queries"}``.
        stale: prefill with the old value, of the same length.
        changed: half-open span of the tokens that differ.

    Raises:
        PkvError: lengths differ, or the queries were not captured.
    """
    patched = stale.cache.replace(range(*changed), oracle.cache)
    layers = []
    for layer in range(engine.spec.n_layers):
        keys = stale.cache.keys[layer][0], oracle.cache.keys[layer][0]
        values = stale.cache.values[layer][0], oracle.cache.values[layer][0]
        outputs = [engine.attention_outputs(oracle, cache, layer) for cache in (patched, oracle.cache)]
        rows = [
            cosine_distance(*keys),
            relative_l2(*keys),
            cosine_distance(*values),
            relative_l2(*values),
            relative_l2(outputs[0], outputs[1]),
        ]
        layers.append(np.stack([_mean_heads(row) for row in rows]))
    return Deviation(np.stack(layers, axis=1), changed)


def _mean_heads(row: Float[Tensor, "heads T"]) -> Float[np.ndarray, " T"]:
    return row.mean(0).cpu().numpy()


def output_error(engine: Engine, prefill: Prefill) -> float:
    """Largest relative L2, over layers, between our attention outputs of a prompt and the model's own.

    Args:
        engine: of the model that the prompt was run on.
        prefill: run with ``capture={"queries", "prefill"}``.
    """
    worst = 0.0
    for layer in range(engine.spec.n_layers):
        ours = engine.attention_outputs(prefill, prefill.cache, layer)
        model = prefill.take("z_all", layer, slice(prefill.cache.length)).float()
        flat = rearrange(ours, "head t d -> (t head d)"), rearrange(model, "t head d -> (t head d)")
        worst = max(worst, float(relative_l2(*flat)))
    return worst


def share_above(values: Float[np.ndarray, " tokens"], threshold: float) -> float:
    """Share of tokens whose value exceeds the threshold; 0 for no tokens."""
    return float((values > threshold).mean()) if values.size else 0.0
