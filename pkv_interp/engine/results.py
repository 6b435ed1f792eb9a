"""What the engine hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from pkv_interp.cache import FrozenCache
from pkv_interp.errors import PkvError


@dataclass(frozen=True, eq=False)
class Prefill:
    """One prompt run once. L layers, H heads, T tokens, the last of them the decision token.

    Attributes:
        ids: the prompt.
        cache: keys and values of the first T - 1 tokens.
        logits: over the vocabulary at the decision token, float32, after the model's softcap if it has one.
        z: per layer and head the input of o_proj at the decision token.
        mlp: per layer the output of the MLP module at the decision token.
        resid: the residual stream at the decision token: the embedding, then the output of every block.
        attn: with capture "attention": weights of the decision token over all positions, float32. Rows sum to
            one, or to less where the model has attention sinks.
        z_all, mlp_all, resid_all: with capture "prefill": the same at every position. They, and
            ``resid_mid_all``, may be kept on the host (``keeping``): read them by ``take``.
        resid_mid_all: with capture "prefill": what enters every block plus what its attention wrote to the
            stream, the norm after it and its factor included. In a parallel block no module reads this sum.
        own_values: with capture "attention": what the decision token's own column holds, by KV head.
        queries: with capture "queries": what every head asks with at every position, after RoPE and norms; of
            an opened prompt at the positions that were run.
        given: number of columns that came with a cache (``Engine.open``) and may be edited: no forward over
            the tokens need make them, so they are never taken for the prompt's own nor run again.
    """

    ids: tuple[int, ...]
    cache: FrozenCache
    logits: Float[Tensor, " vocab"]
    z: Float[Tensor, "L H d_head"]
    mlp: Float[Tensor, "L d_model"]
    resid: Float[Tensor, "L+1 d_model"]
    attn: Float[Tensor, "L H T"] | None = None
    z_all: Float[Tensor, "L T H d_head"] | None = None
    mlp_all: Float[Tensor, "L T d_model"] | None = None
    resid_all: Float[Tensor, "L+1 T d_model"] | None = None
    resid_mid_all: Float[Tensor, "L T d_model"] | None = None
    queries: Float[Tensor, "L H T d_head"] | None = None
    own_values: Float[Tensor, "L n_kv d_head"] | None = None
    given: int = 0

    @property
    def length(self) -> int:
        """Number of tokens, T."""
        return len(self.ids)

    @property
    def has_activations(self) -> bool:
        """False for the prompt of an edited cache: its inner activations were not captured and are NaN."""
        return not bool(self.resid[0, 0].isnan())

    def need_activations(self) -> None:
        """Refuse the prompt of an extended cache where activations of the decision token are needed.

        Raises:
            PkvError: they were not captured.
        """
        if not self.has_activations:
            raise PkvError(
                "this needs activations, and those of a prompt run over a cache (extend) were not captured",
                "run the prompt with engine.prefill(ids)",
            )

    def need_own_columns(self) -> None:
        """Refuse an opened prompt where every column must be what the tokens make.

        Raises:
            PkvError: the prompt was opened over a cache.
        """
        if self.given:
            raise PkvError(
                f"the first {self.given} columns of this prompt came with a cache (Engine.open)",
                "run the prompt with engine.prefill(ids)",
            )

    def need_causal_masks(self, other: FrozenCache | None = None) -> None:
        """Refuse a prompt whose columns are not those that its tokens make under the model's own masks.

        Args:
            other: a cache that is to be read beside it.

        Raises:
            PkvError: the prompt was opened over a cache, or it or the other cache was made under an attention
                layout.
        """
        self.need_own_columns()
        if any(one is not None and one.layout is not None for one in (self.cache, other)):
            raise PkvError(
                "this prompt was run under an attention layout, which this computation does not heed",
                "run the prompt with engine.prefill(ids)",
            )

    def need(self, name: str) -> Tensor:
        """The captured activation ``name``: z_all, mlp_all, resid_all, queries or attn.

        Raises:
            PkvError: when it was not captured, or cannot be, as the prompt was opened over a cache.
        """
        value = getattr(self, name)
        if value is None:
            if name.endswith("_all"):
                self.need_own_columns()
            capture = {"attn": "attention", "own_values": "attention", "queries": "queries"}.get(
                name, "prefill"
            )
            raise PkvError(
                f"this needs {name}, which was not captured",
                f'run engine.{"open(ids, cache" if self.given else "prefill(ids"}, capture={{"{capture}"}})',
            )
        return value

    def take(self, name: str, *index: Any) -> Tensor:
        """Part of the captured activation ``name``, on the model's device wherever the whole of it is kept.

        Args:
            name: as of ``need``.
            index: of its axes, from the first one on: integers, slices, lists or tensors of indices.

        Raises:
            PkvError: as ``need``.
        """
        kept = self.need(name)
        at = tuple(one.to(kept.device) if isinstance(one, Tensor) else one for one in index)
        return kept[at].to(self.logits.device)


@dataclass(frozen=True, eq=False)
class Decoded:
    """Results of B rows, in the order of the rows.

    Attributes:
        logits: float32 logits of the asked tokens (of the whole vocabulary when none were named).
        argmax: the token that each row prefers over the whole vocabulary; None when tokens were named, as the
            other rows of the unembedding are then not multiplied.
    """

    logits: Float[Tensor, "B tokens"]
    argmax: Int[Tensor, " B"] | None


@dataclass(frozen=True, eq=False)
class Attribution:
    """First-order effect on the margin of putting the donor's value in place of the base's, at every site.

    Each entry is (donor - base) . d margin / d base, from one backward pass at the base (attribution
    patching, Nanda 2023). Float32, on the model's device.

    Attributes:
        margin: the base's margin.
        keys, values: per layer and prefix position, for K and V apart; their sum is the KV patch of that
            site.
        heads: per layer and head, z at the decision token.
        mlps: per layer, the MLP output at the decision token.
        head_slopes: d margin / d z at the base, which needs no donor.
    """

    margin: float
    keys: Float[Tensor, "L T-1"]
    values: Float[Tensor, "L T-1"]
    heads: Float[Tensor, "L H"]
    mlps: Float[Tensor, " L"]
    head_slopes: Float[Tensor, "L H d_head"]

    @property
    def kv(self) -> Float[Tensor, "L T-1"]:
        """Keys and values together."""
        return self.keys + self.values
