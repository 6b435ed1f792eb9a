"""What both twins share: rows are run one at a time, each over a cache of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.regime import Regime
from pkv_interp.engine.results import Decoded, Prefill
from pkv_interp.interventions import (
    AttentionPatch,
    HeadPatch,
    Intervention,
    Knockout,
    KVPatch,
    Row,
    first_edit,
)


class OneByOne(ABC):
    """Runs rows as the engine does, slowly: the same signatures, and rows are taken as checked."""

    @abstractmethod
    def _forward(
        self,
        ids: Sequence[int],
        positions: range,
        cache: DynamicCache,
        row: Row,
        donors: Sequence[Prefill],
        knockouts: Sequence[Knockout] = (),
    ) -> Float[Tensor, " vocab"]:
        """Logits after the tokens at ``positions``, by which ``cache`` grows, under the row's edits."""

    def decode(
        self,
        base: Prefill,
        rows: Sequence[Row],
        donors: Sequence[Prefill] = (),
        token_ids: Sequence[int] | None = None,
    ) -> Decoded:
        """As ``Engine.decode``: one forward of one token per row.

        Args:
            base: the prompt whose prefix all rows read.
            rows: interventions at the decision token.
            donors: prompts that patches index.
            token_ids: tokens whose logits are wanted; all when None.
        """
        results = []
        for given in rows:
            row, known = without_mixtures(given, base, donors)
            results.append(self._decide(base.ids, base.cache, row, known))
        return _gather(results, token_ids)

    def rerun(
        self,
        base: Prefill,
        rows: Sequence[Row],
        donors: Sequence[Prefill] = (),
        token_ids: Sequence[int] | None = None,
    ) -> Decoded:
        """As ``Engine.rerun``: per row the whole prefix again, then the decision token over what it left.

        Args:
            base: the prompt.
            rows: interventions anywhere.
            donors: prompts that patches index.
            token_ids: tokens whose logits are wanted; all when None.
        """
        results = []
        for given in rows:
            row, known = without_mixtures(given, base, donors)
            cache = base.cache
            if first_edit(row, base.length) < base.length - 1:
                base.need_causal_masks()
                cache = self.run_prefix(base.ids, row, known)
            results.append(self._decide(base.ids, cache, row, known))
        return _gather(results, token_ids)

    @torch.no_grad()
    def run_prefix(self, ids: Sequence[int], row: Row = (), donors: Sequence[Prefill] = ()) -> FrozenCache:
        """The cache of all tokens of ``ids`` but the last, under the row's edits before it.

        Args:
            ids: the whole prompt.
            row: interventions; those at the last token change no column before it.
            donors: prompts that patches index.
        """
        cache = DynamicCache()
        # The last token is run as well, since rotary frequencies may follow from its position.
        knockouts = [edit for edit in row if isinstance(edit, Knockout)]
        self._forward(ids, range(len(ids)), cache, row, donors, knockouts)
        return FrozenCache.of(cache, self._regime(len(ids))).slice(0, len(ids) - 1)

    def _regime(self, length: int) -> Regime | None:
        """The rotary frequencies of a prompt, where the twin knows them."""
        del length
        return None

    @torch.no_grad()
    def _decide(
        self, ids: Sequence[int], cache: FrozenCache, row: Row, donors: Sequence[Prefill]
    ) -> Float[Tensor, " vocab"]:
        for edit in row:
            if isinstance(edit, KVPatch):
                cache = cache.replace(edit.positions, donors[edit.donor].cache, edit.layers, edit.part)
        knockouts = [edit for edit in row if isinstance(edit, Knockout)]
        last = len(ids) - 1
        return self._forward(ids, range(last, last + 1), cache.view(), row, donors, knockouts)


def closed_positions(
    knockouts: Sequence[Knockout], n_layers: int, positions: Sequence[int], length: int
) -> dict[int, list[tuple[int, int]]]:
    """Per layer, which token of a forward may not see which position; layers without any are absent.

    Args:
        knockouts: of one row.
        n_layers: of the model.
        positions: of the tokens in the forward, in order.
        length: tokens of the prompt.
    """
    at = {position: token for token, position in enumerate(positions)}
    closed: dict[int, list[tuple[int, int]]] = {}
    for edit in knockouts:
        asking = (length - 1,) if edit.queries is None else edit.queries
        pairs = [(at[query], seen) for query in asking if query in at for seen in edit.positions]
        for layer in range(n_layers) if edit.layers is None else edit.layers:
            closed.setdefault(layer, []).extend(pairs)
    return {layer: pairs for layer, pairs in closed.items() if pairs}


def without_mixtures(row: Row, base: Prefill, donors: Sequence[Prefill]) -> tuple[Row, tuple[Prefill, ...]]:
    """The row with every AttentionPatch as a HeadPatch from a made-up donor, and the donors with those.

    The output is summed column by column, over a cache that the decision token's own column is put after.

    Args:
        row: interventions.
        base: run with capture "attention".
        donors: likewise.
    """
    edits: list[Intervention] = []
    known = list(donors)
    for edit in row:
        if not isinstance(edit, AttentionPatch):
            edits.append(edit)
            continue
        donor = donors[edit.donor]
        looking, read = (donor, base) if edit.part == "pattern" else (base, donor)
        group = base.z.shape[1] // read.cache.values[edit.layer].shape[1]
        columns = [column[edit.head // group] for column in read.cache.values[edit.layer][0].unbind(1)]
        columns.append(read.need("own_values")[edit.layer, edit.head // group])
        weights = looking.need("attn")[edit.layer, edit.head].tolist()
        z = donor.z.clone()
        z[edit.layer, edit.head] = sum(w * column for w, column in zip(weights, columns, strict=True))
        edits.append(HeadPatch(edit.layer, edit.head, len(known)))
        known.append(replace(donor, z=z))
    return tuple(edits), tuple(known)


def _gather(results: Sequence[Float[Tensor, " vocab"]], token_ids: Sequence[int] | None) -> Decoded:
    logits = torch.stack(list(results))
    if token_ids is not None:
        return Decoded(logits[:, list(token_ids)], None)
    return Decoded(logits, logits.argmax(-1))
