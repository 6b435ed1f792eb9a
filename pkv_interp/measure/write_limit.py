"""The multiply-adds that no run of a row edited during prefill can leave out."""

from __future__ import annotations

from collections.abc import Sequence

from pkv_interp.interventions import HeadPatch, MLPPatch, ResidualEdit, Row, first_edit, first_layer
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.multiply_adds import mlp_multiply_adds


def needed_multiply_adds(loaded: LoadedModel, length: int, rows: Sequence[Row]) -> int:
    """What must be computed of all rows, over a base whose activations and columns are all known.

    Layers above the edit at the positions from it on, in projections, attention and MLP, less what is known:
    in the edited layer a head patch changes one head's part of the projection and the MLP of its own
    position; in the next, only edited positions have other queries, keys and values; in the last, only keys
    and values and what the decision token reads matter. Norms, rotations and logits are not counted.

    Args:
        loaded: the model.
        length: tokens of the prompt.
        rows: each of patches of heads or MLPs, or of edits of the stream, at positions before the decision.
    """
    return sum(_of_row(loaded, length, row) for row in rows)


def _of_row(loaded: LoadedModel, length: int, row: Row) -> int:
    spec = loaded.spec
    first, last, decision = first_layer(row), spec.n_layers - 1, length - 1
    if first == last:
        return 0  # no later layer reads what changes before the decision
    here = [edit for edit in row if isinstance(edit, HeadPatch | MLPPatch | ResidualEdit)]
    here = [edit for edit in here if edit.layer == first]
    edited = {_position(edit, decision) for edit in here}
    heads = [edit for edit in here if isinstance(edit, HeadPatch)]
    total = len(heads) * spec.head_dim * spec.d_model
    total += len({edit.position for edit in heads}) * mlp_multiply_adds(loaded, first)

    wide, narrow = (n * spec.head_dim * spec.d_model for n in (spec.n_heads, spec.n_kv_heads))
    suffix = range(first_edit(row, length), length)
    for layer in range(first + 1, spec.n_layers):
        changed = edited if layer == first + 1 else set(suffix)
        total += 2 * narrow * len(changed)
        window = spec.windows[layer]
        readers = suffix if layer < last else range(decision, length)
        for position in readers:
            start = 0 if window is None else max(0, position + 1 - window)
            seen = position + 1 - start
            if position not in changed:  # its query and the other columns' scores are the base's
                seen = sum(start <= column <= position for column in changed)
            total += 2 * seen * spec.n_heads * spec.head_dim
        total += wide * len(changed & set(readers))
        total += len(readers) * (wide + mlp_multiply_adds(loaded, layer))
    return total


def _position(edit: HeadPatch | MLPPatch | ResidualEdit, decision: int) -> int:
    return decision if edit.position is None else edit.position
