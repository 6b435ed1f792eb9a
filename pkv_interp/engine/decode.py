"""Runs of many rows over one base prompt, in as few forwards as the memory budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pkv_interp.cache.attention_layout import one_layout
from pkv_interp.cache.positions import Positions
from pkv_interp.cache.regime import one_regime
from pkv_interp.cache.state import refuse_training
from pkv_interp.engine.batches import Budget, batches
from pkv_interp.engine.edits import layer_edits, require_captures, require_whole_patches
from pkv_interp.engine.joining import Entry, joining_of
from pkv_interp.engine.live import live_mlps
from pkv_interp.engine.packed import Shortcuts, column_layers, packed_forward
from pkv_interp.engine.packing import Packing, pack
from pkv_interp.engine.results import Decoded, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite_logits
from pkv_interp.interventions import Row, Scope, first_edit, first_layer, is_decision_time


def check_call(scope: Scope, base: Prefill, rows: Sequence[Row], donors: Sequence[Prefill]) -> None:
    """Refuse a call that cannot be run as asked.

    Raises:
        PkvError: no rows, a donor of another length, attention layout or rotary frequencies, an index out of
            range, an activation not captured, or an edit that makes columns of an opened cache run again.
    """
    if not rows:
        raise PkvError("no rows were given", "give at least one row; () is the row without interventions")
    for index, donor in enumerate(donors):
        if donor.length != base.length:
            raise PkvError(
                f"donor {index} has {donor.length} tokens and the base {base.length}",
                "use pairs of equal length, token by token",
            )
    one_regime(prefill.cache.regime for prefill in (base, *donors))
    for donor in donors:
        one_layout(base.cache.layout, donor.cache.layout)
    scope.check(rows)
    for row in rows:
        if first_edit(row, base.length) < base.given:
            raise PkvError(
                f"position {first_edit(row, base.length)} lies in the cache that was opened, and to run it "
                "again would undo how the cache was edited",
                f"edit positions from {base.given} on",
            )
    require_captures(rows, base, donors)
    require_whole_patches(rows, [first_edit(row, base.length) for row in rows])


def require_decision_time(rows: Sequence[Row], length: int) -> None:
    """Refuse rows that change anything before the decision token.

    Raises:
        PkvError: naming the first such intervention.
    """
    for row in rows:
        for edit in row:
            if not is_decision_time(edit, length):
                raise PkvError(
                    f"a {type(edit).__name__} at position {first_edit((edit,), length)} changes the prefill",
                    "run these rows with engine.rerun",
                )


def entry_of(base: Prefill, packing: Packing, layer: int) -> Entry | None:
    """The base's own residual stream at the packed tokens, into the first layer that any row edits.

    None when that is the first layer, or when the base kept no residuals of the tokens.
    """
    if layer == 0 or not base.has_activations:
        return None
    if packing.n_tokens == len(packing.decision):
        return Entry(layer, base.resid[layer].expand(1, packing.n_tokens, -1))
    if base.resid_all is None:
        return None
    return Entry(layer, base.take("resid_all", layer, torch.as_tensor(packing.position_of))[None])


@torch.no_grad()
def run_rows(
    tracer: Any,
    base: Prefill,
    rows: Sequence[Row],
    donors: Sequence[Prefill],
    token_ids: Sequence[int] | None,
    budget: Budget,
    like: Tensor,
) -> Decoded:
    """Run checked rows in groups that fit the budget, and put the results back in the order of the rows.

    Args:
        tracer: the nnsight wrapper of the model.
        base: the prompt whose prefix all rows read.
        rows: interventions, checked by ``check_call``.
        donors: prompts that patches index.
        token_ids: tokens whose logits are kept; the whole vocabulary when None.
        budget: how much memory one forward may take, and whether rows may come in late.
        like: a tensor of the model's dtype and device.
    """
    refuse_training(tracer._module)
    Positions.of(tracer._module).check_prompt(base.cache, base.length)
    windows = budget.spec.windows
    width = budget.spec.vocab_size if token_ids is None else len(token_ids)
    logits = torch.empty(len(rows), width, device=like.device)
    keep = None if token_ids is None else torch.tensor(list(token_ids), device=like.device, dtype=torch.long)
    caches = [donor.cache for donor in donors]
    for batch in batches(rows, base.length, budget):
        mine = [rows[index] for index in batch]
        packing = pack(mine, base.length, windows, len(donors), base.cache.layout)
        edits = layer_edits(mine, packing, base, donors, len(windows), like)
        columns = column_layers(packing, base.cache, caches)
        joining = joining_of(base, packing, mine, len(windows)) if budget.join else None
        if joining is not None:
            entry, present = joining.entry, joining.present
        else:
            entry, present = entry_of(base, packing, min(first_layer(row) for row in mine)), None
        live = live_mlps(mine, packing, base, len(windows), present)
        shortcuts = Shortcuts(entry, joining, live, keep)
        out = packed_forward(tracer, base.ids, packing, columns, edits, shortcuts=shortcuts).logits
        logits[torch.tensor(batch, device=like.device)] = out.float()
    finite_logits(logits, "the logits of these rows")
    return Decoded(logits, logits.argmax(-1) if keep is None else None)
