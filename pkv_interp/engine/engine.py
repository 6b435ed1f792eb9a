"""The engine: what a user calls. It holds the traced model and nothing about any prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from nnsight import NNsight
from torch import Tensor

from pkv_interp.cache import FrozenCache
from pkv_interp.engine import gradient, logits
from pkv_interp.engine.attention import attention_outputs
from pkv_interp.engine.batches import Budget, memory_budget, most_tokens
from pkv_interp.engine.decode import check_call, check_token_ids, require_decision_time, run_rows
from pkv_interp.engine.prefill import check_prompt, run_prefill
from pkv_interp.engine.results import Attribution, Decoded, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.interventions import Row, Scope
from pkv_interp.models.load import LoadedModel


class Engine:
    """Runs prompts and counterfactuals of one loaded model.

    Args:
        loaded: the model; its weights are read and never changed.
        memory_budget_mb: what one packed forward may take beyond the model and the prefills (an estimate). By
            default 1 GiB, or half of what is free on a GPU.
    """

    def __init__(self, loaded: LoadedModel, memory_budget_mb: float | None = None) -> None:
        self.loaded = loaded
        self.spec = loaded.spec
        self._tracer = NNsight(loaded.model)
        self._memory_budget_mb = memory_budget_mb
        # Stands for the dtype and device of everything that is built for a forward.
        embedding: Any = loaded.model.get_input_embeddings()
        self._like: Tensor = embedding.weight

    def _budget(self) -> Budget:
        config = self.loaded.model.config
        width = getattr(config, "intermediate_size", None) or 4 * self.spec.d_model
        width *= getattr(config, "num_experts_per_tok", None) or 1
        total = memory_budget(self._memory_budget_mb, self._like.device)
        return Budget(total, most_tokens(self._like.device), self._like.element_size(), width, self.spec)

    def _scope(self, base: Prefill, donors: Sequence[Prefill]) -> Scope:
        spec = self.spec
        return Scope(base.length, spec.n_layers, spec.n_heads, spec.d_model, len(donors))

    def prefill(
        self,
        ids: Sequence[int],
        capture: frozenset[str] | set[str] = frozenset(),
        shared: Prefill | None = None,
    ) -> Prefill:
        """Run a prompt once and keep cache, logits and the activations of the decision token (the last).

        Args:
            ids: token ids, at least two.
            capture: "prefill" for activations at every position, "attention" for the decision token's
                weights, "queries" for the queries at every position.
            shared: a prompt of the same length and captures; the tokens with which both begin are taken from
                it and not run again.

        Raises:
            PkvError: for an id outside the vocabulary, a prompt too short, or an unknown capture.
        """
        check_prompt(ids, self.spec, frozenset(capture))
        return run_prefill(self._tracer, ids, self.spec, frozenset(capture), self._like, shared)

    def decode(
        self,
        base: Prefill,
        rows: Sequence[Row],
        donors: Sequence[Prefill] = (),
        token_ids: Sequence[int] | None = None,
    ) -> Decoded:
        """The decision token of ``base`` under each row of decision-time interventions, in few forwards.

        Args:
            base: the prompt whose prefix all rows read.
            rows: B tuples of interventions; ``()`` is the plain decision.
            donors: prompts of the base's length that patches index.
            token_ids: tokens whose logits are wanted; the whole vocabulary when None.

        Raises:
            PkvError: for an index out of range, a donor of another length, or an edit before the decision
                token.
        """
        check_call(self._scope(base, donors), base, rows, donors)
        require_decision_time(rows, base.length)
        check_token_ids(token_ids, self.spec.vocab_size)
        return run_rows(self._tracer, base, rows, donors, token_ids, self._budget(), self._like)

    def rerun(
        self,
        base: Prefill,
        rows: Sequence[Row],
        donors: Sequence[Prefill] = (),
        token_ids: Sequence[int] | None = None,
    ) -> Decoded:
        """As ``decode``, for rows that also edit the prefill: each is run again from its first edit on.

        KVPatch and Knockout act on the decision token alone here too. Tokens before a row's first edit are
        not run; patches of heads and MLPs at a position need donors run with ``capture={"prefill"}``.

        Raises:
            PkvError: as ``decode``, or for an activation that a donor did not capture.
        """
        check_call(self._scope(base, donors), base, rows, donors)
        check_token_ids(token_ids, self.spec.vocab_size)
        return run_rows(self._tracer, base, rows, donors, token_ids, self._budget(), self._like)

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
            PkvError: queries were not captured, or the cache has another length.
        """
        if cache.length != base.cache.length:
            raise PkvError(
                f"the cache has {cache.length} tokens and the prompt's own {base.cache.length}",
                "use pairs of equal length, token by token",
            )
        attention: Any = self.loaded.model.model.layers[layer].self_attn
        return attention_outputs(
            base.need("queries")[layer][:, : cache.length],
            cache.keys[layer][0],
            cache.values[layer][0],
            float(attention.scaling),
            self.spec.windows[layer],
            self.spec.attention_softcap,
            attention.sinks if self.spec.sinks else None,
        )

    def attribute(self, base: Prefill, donor: Prefill, action_ids: tuple[int, int]) -> Attribution:
        """First-order effects of the donor's KV, heads and MLPs on the base's margin, from one backward pass.

        Raises:
            PkvError: for a donor of another length or a token id out of range.
        """
        check_call(self._scope(base, (donor,)), base, ((),), (donor,))
        check_token_ids(action_ids, self.spec.vocab_size)
        return gradient.attribute(self._tracer, base, donor, action_ids, self.spec)

    def lens(self, resid: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
        """Logits of a residual stream through final norm and unembedding, before the softcap, float32."""
        return logits.lens(self.loaded.model, resid)

    @torch.no_grad()
    def final_logits(
        self, resid_final: Float[Tensor, " d_model"], token_ids: Sequence[int], softcap: bool = True
    ) -> Float[Tensor, " tokens"]:
        """Logits of ``token_ids`` from the last residual, float32, with the softcap or before it."""
        check_token_ids(token_ids, self.spec.vocab_size)
        out = logits.lens(self.loaded.model, resid_final)[
            torch.tensor(list(token_ids), device=resid_final.device)
        ]
        return logits.apply_softcap(out, self.spec.softcap) if softcap else out

    @torch.no_grad()
    def direct_logit(
        self,
        components: Float[Tensor, "N d_model"],
        resid_final: Float[Tensor, " d_model"],
        token_ids: Sequence[int],
    ) -> Float[Tensor, "N tokens"]:
        """What each part of the residual adds to the logits, the final norm's scale held at ``resid_final``.

        Contributions of parts that sum to ``resid_final`` sum to the logits before the softcap
        (``final_logits(..., softcap=False)``). Float32.
        """
        check_token_ids(token_ids, self.spec.vocab_size)
        return logits.direct_logit(self.loaded.model, components, resid_final, token_ids)

    @torch.no_grad()
    def contributions(self, base: Prefill) -> logits.Contributions:
        """What embedding, heads and MLPs write into the residual stream at the decision token.

        Raises:
            PkvError: when the parts do not sum to the residual, i.e. the model writes in another way.
        """
        return logits.contributions(self.loaded.model, base)
