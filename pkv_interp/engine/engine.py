"""The engine: what a user calls. It holds the traced model and nothing about any prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from nnsight import NNsight
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache import AttentionLayout, FrozenCache
from pkv_interp.engine import gradient
from pkv_interp.engine.batches import Budget, budget_of
from pkv_interp.engine.decode import check_call, require_decision_time, run_rows
from pkv_interp.engine.half import Prefiller
from pkv_interp.engine.logits import contributions, written
from pkv_interp.engine.opened import check_opened, check_writer
from pkv_interp.engine.prefill import Start, check_prompt
from pkv_interp.engine.results import Attribution, Decoded, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite, finite_logits
from pkv_interp.ids import TokenIds, as_ids
from pkv_interp.indices import index_below, some
from pkv_interp.interventions import Row, Scope
from pkv_interp.models import unembedding
from pkv_interp.models.anatomy import softcapped
from pkv_interp.models.attention import attention_outputs
from pkv_interp.models.contributions import Contributions
from pkv_interp.models.load import LoadedModel


class Engine:
    """Runs prompts and counterfactuals of one loaded model.

    Args:
        loaded: the model; its weights are read and never changed.
        memory_budget_mb: of one packed forward, about; by default 1 GiB, or half of what is free on a GPU.
    """

    def __init__(self, loaded: LoadedModel, memory_budget_mb: float | None = None) -> None:
        self.loaded, self.spec = loaded, loaded.spec
        self._tracer = NNsight(loaded.model)
        self._memory_budget_mb = memory_budget_mb
        # Stands for the dtype and device of everything that is built for a forward.
        embedding: Any = loaded.model.get_input_embeddings()
        self._like: Tensor = embedding.weight
        self._prefiller = Prefiller(self._tracer, self.spec, self._like)

    def _budget(self) -> Budget:
        return budget_of(self.spec, self.loaded.model.config, self._memory_budget_mb, self._like)

    def _scope(self, base: Prefill, donors: Sequence[Prefill]) -> Scope:
        shape = (self.spec.n_layers, self.spec.n_heads, self.spec.d_model)
        return Scope(base.length, *shape, len(donors), tuple(self.spec.windows))

    def _prefilled(self, ids: Sequence[int], capture: frozenset[str], start: Start) -> Prefill:
        return self._prefiller.run(ids, capture, start)

    def _decoded(self, base: Prefill, rows: Any, donors: Any, token_ids: Any) -> Decoded:
        tokens = None if token_ids is None else as_ids(token_ids, self.spec.vocab_size)
        return run_rows(self._tracer, base, rows, donors, tokens, self._budget(), self._like)

    def prefill_in(self, dtype: torch.dtype | None) -> None:
        """From now on run tokens before the decision in a narrower dtype; None: in the model's own."""
        self._prefiller.narrow(dtype)

    def prefill(
        self,
        ids: TokenIds,
        capture: frozenset[str] | set[str] = frozenset(),
        shared: Prefill | None = None,
        layout: AttentionLayout | None = None,
    ) -> Prefill:
        """Run a prompt once and keep cache, logits and the activations of the decision token (the last).

        Args:
            ids: token ids, at least two; see ``pkv_interp.ids``.
            capture: "prefill" for activations at every position, "attention" for the decision token's
                weights, "queries" for the queries at every position.
            shared: a prompt of the same length and captures; the tokens with which both begin are taken from
                it and not run again.
            layout: who sees whom; the base keeps it, and rows that are run again heed it.

        Raises:
            PkvError: for an id outside the vocabulary, a prompt too short, an unknown capture, or logits that
                are not finite.
        """
        tokens = as_ids(ids, self.spec.vocab_size)
        check_prompt(tokens, asked := frozenset(capture))
        return self._prefilled(tokens, asked, Start(shared, layout=layout))

    def open(
        self,
        ids: TokenIds,
        cache: FrozenCache,
        capture: frozenset[str] | set[str] = frozenset(),
        written_by: PreTrainedModel | None = None,
    ) -> Prefill:
        """Take a cache that this engine did not make (edited, spliced) as the base of ``decode``.

        A column's index is its position. Tokens after the cache are run over it, the decision token with its
        activations; the columns of the cache stay as they are, and what made them is not known.

        Args:
            ids: the whole prompt, the decision token last.
            cache: of its first tokens, of all but the last at most; it is not changed.
            capture: "attention" for the decision token's weights, "queries" for those of the tokens run.
            written_by: the model that wrote the cache, where that is another one of the same architecture. A
                cache does not say who wrote it: without this it is taken for the engine's own model.

        Raises:
            PkvError: the cache does not fit the prompt or the model (shape, dtype, device, rotary
                frequencies), the models differ in more than weights, or as ``prefill``.
        """
        tokens, asked = as_ids(ids, self.spec.vocab_size), frozenset(capture)
        check_opened(tokens, cache, asked, self.spec, self._like)
        check_writer(self.loaded.model, written_by or self.loaded.model)
        return self._prefilled(tokens, asked, Start(given=cache))

    def decode(
        self,
        base: Prefill,
        rows: Sequence[Row],
        donors: Sequence[Prefill] = (),
        token_ids: TokenIds | None = None,
    ) -> Decoded:
        """The decision token of ``base`` under each row of decision-time interventions, in few forwards.

        Args:
            base: the prompt whose prefix all rows read.
            rows: B tuples of interventions; ``()`` is the plain decision.
            donors: prompts of the base's length that patches index.
            token_ids: tokens whose logits are wanted; the whole vocabulary when None.

        Raises:
            PkvError: an index out of range, a donor of another length, or an edit before the decision token.
        """
        rows = list(rows)  # read more than once
        check_call(self._scope(base, donors), base, rows, donors)
        require_decision_time(rows, base.length)
        return self._decoded(base, rows, donors, token_ids)

    def rerun(
        self,
        base: Prefill,
        rows: Sequence[Row],
        donors: Sequence[Prefill] = (),
        token_ids: TokenIds | None = None,
    ) -> Decoded:
        """As ``decode``, for rows that also edit the prefill: each is run again from its first edit on.

        KVPatch, AttentionPatch and a Knockout without queries act on the decision token alone here too.
        Tokens before a row's first edit are not run; patches of heads and MLPs at a position need donors run
        with ``capture={"prefill"}``.

        Raises:
            PkvError: as ``decode``, or for an activation that a donor did not capture.
        """
        rows = list(rows)  # read more than once
        check_call(self._scope(base, donors), base, rows, donors)
        return self._decoded(base, rows, donors, token_ids)

    @torch.no_grad()
    def attention_outputs(
        self, base: Prefill, cache: FrozenCache, layer: int
    ) -> Float[Tensor, "H T-1 d_head"]:
        """What a layer's heads would put out if the queries of ``base`` read ``cache`` instead of their own.

        Each query sees the columns up to its own position (its own column included) that the layer's window
        lets it see. Nothing is carried on to later layers. Float32, in plain torch, so that equal inputs give
        bit-equal outputs.

        Args:
            base: run with ``capture={"queries"}``.
            cache: of the length of ``base.cache``.
            layer: index of the layer.

        Raises:
            PkvError: queries were not captured (at every position), the cache has another length, there is no
                such layer, or what comes out is not finite.
        """
        base.need_causal_masks(cache)
        if cache.length != base.cache.length:
            raise PkvError(
                f"the cache has {cache.length} tokens and the prompt's own {base.cache.length}",
                "use pairs of equal length, token by token",
            )
        layer = index_below(layer, self.spec.n_layers, "layer")
        attention: Any = self.loaded.model.model.layers[layer].self_attn
        found = attention_outputs(
            base.need("queries")[layer][:, : cache.length],
            cache.keys[layer][0],
            cache.values[layer][0],
            self.spec.anatomy.blocks[layer].scaling,
            self.spec.windows[layer],
            self.spec.attention_softcap,
            attention.sinks if self.spec.sinks else None,
        )
        return finite(found, "the attention outputs")

    def attribute(self, base: Prefill, donor: Prefill, action_ids: tuple[int, int]) -> Attribution:
        """First-order effects of the donor's KV, heads and MLPs on the base's margin, from one backward pass.

        Raises:
            PkvError: a donor of another length, token ids that are not two, or activations not captured.
        """
        check_call(self._scope(base, (donor,)), base, ((),), (donor,))
        actions = as_ids(action_ids, self.spec.vocab_size)
        if len(actions) != 2:
            raise PkvError(f"{len(actions)} action ids were given", "give two: the margin is between them")
        base.need_activations()
        donor.need_activations()
        found = gradient.attribute(self._tracer, base, donor, (actions[0], actions[1]), self.spec)
        for sites in (found.keys, found.values, found.heads, found.mlps, found.head_slopes):
            finite(sites, "the first-order effects")
        return found

    def lens(self, resid: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
        """Logits of a residual stream through final norm, unembedding and its factor; no softcap; float32."""
        return finite_logits(unembedding.lens(self.loaded.model, self.spec.anatomy, resid), "the logits")

    @torch.no_grad()
    def final_logits(
        self, resid_final: Float[Tensor, " d_model"], token_ids: TokenIds, softcap: bool = True
    ) -> Float[Tensor, " tokens"]:
        """Logits of ``token_ids`` from the last residual, float32, with the softcap or before it."""
        out = self.lens(resid_final)[..., list(some(as_ids(token_ids, self.spec.vocab_size), "token ids"))]
        return softcapped(out, self.spec.softcap) if softcap else out

    @torch.no_grad()
    def direct_logit(
        self,
        components: Float[Tensor, "N d_model"],
        resid_final: Float[Tensor, " d_model"],
        token_ids: TokenIds,
        *,
        without_constant: bool = False,
    ) -> Float[Tensor, "N tokens"]:
        """What each part of the residual adds to the logits, the final norm's scale held at ``resid_final``.

        Contributions of parts that sum to ``resid_final`` sum to the logits before the softcap
        (``final_logits(..., softcap=False)``). Float32.

        Args:
            components: parts of the last residual.
            resid_final: the last residual.
            token_ids: whose logits are wanted.
            without_constant: leave out what biases of the final norm and the unembedding add to the logits;
                it is no part's, and cancels between prompts.

        Raises:
            PkvError: there is such a constant, so that no parts sum to the logits, and it is not left out.
        """
        token_ids = some(as_ids(token_ids, self.spec.vocab_size), "token ids")
        model, anatomy = self.loaded.model, self.spec.anatomy
        if not without_constant and self.constant_logit(resid_final, token_ids).any():
            raise PkvError(
                f"{type(model).__name__} adds a constant to its logits (a bias of its norm or unembedding)",
                "pass without_constant=True and add Engine.constant_logit",
            )
        found = unembedding.direct_logit(model, anatomy, components, resid_final, token_ids)
        return finite(found, "the direct contributions")

    @torch.no_grad()
    def written(
        self, base: Prefill, positions: Sequence[int]
    ) -> tuple[Float[Tensor, "L P d_model"], Float[Tensor, "L P d_model"]]:
        """What attention and MLP of every block add to the stream at the positions, float32.

        From the modules' own outputs and not from differences of the stream.

        Raises:
            PkvError: the base was run without ``capture={"prefill"}``, there is no such position, or
                something is not finite.
        """
        at = some([index_below(one, base.length, "position") for one in positions], "positions")
        attention, mlps = written(self.loaded.model, self.spec.anatomy, base, at)
        return finite(attention, "what attention writes"), finite(mlps, "what MLPs write")

    @torch.no_grad()
    def constant_logit(
        self, resid_final: Float[Tensor, " d_model"], token_ids: Sequence[int]
    ) -> Float[Tensor, " tokens"]:
        """What biases of the final norm and the unembedding add to the logits, whatever the stream holds."""
        token_ids = as_ids(token_ids, self.spec.vocab_size)
        return unembedding.constant_logit(self.loaded.model, self.spec.anatomy, resid_final, token_ids)

    @torch.no_grad()
    def contributions(self, base: Prefill) -> Contributions:
        """What embedding, heads and MLPs write into the residual stream at the decision token.

        Raises:
            PkvError: when the parts do not sum to the residual, i.e. the model writes in another way; when
                they are not finite, or were not captured (``extend``).
        """
        return contributions(self.loaded.model, self.spec.anatomy, base)
