"""A head's pattern apart from its values, against a whole eager forward in plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
from transformers.cache_utils import DynamicCache

from pkv_interp.engine import Prefill
from pkv_interp.engine.mixing import mixed_output
from pkv_interp.errors import PkvError
from pkv_interp.interventions import AttentionPatch, HeadPatch, Row
from tests.engine.support import KERNELS, LENGTH, model_of, setting
from tests.families import FAMILIES

ROWS: list[Row] = [
    (AttentionPatch(1, 2, 0, "pattern"),),
    (AttentionPatch(1, 2, 0, "values"),),
    (
        AttentionPatch(0, 3, 1, "values"),
        AttentionPatch(1, 1, 0, "pattern"),
        AttentionPatch(2, 0, 1, "pattern"),
    ),
    (AttentionPatch(0, 1, 0, "pattern"), HeadPatch(1, 3, 1), AttentionPatch(2, 3, 1, "values")),
]


def plainly(model: Any, ids: Sequence[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Weights of the last token [layers, heads, T], and per layer the values of all tokens."""
    cache = DynamicCache()
    with torch.no_grad():
        out = model(torch.tensor([list(ids)]), past_key_values=cache, output_attentions=True)
    layers: list[Any] = cache.layers
    return torch.stack(out.attentions)[:, 0, :, -1], [layer.values[0] for layer in layers]


def under_hooks(family: str, base: Prefill, row: Row, donors: Sequence[Prefill]) -> torch.Tensor:
    """Logits of the whole prompt run eagerly, each patched head's output put in before o_proj."""
    model: Any = model_of(family, "eager").model
    mine, theirs = plainly(model, base.ids), [plainly(model, donor.ids) for donor in donors]
    handles = []
    for edit in row:
        assert isinstance(edit, AttentionPatch | HeadPatch)
        other = theirs[edit.donor]
        part = edit.part if isinstance(edit, AttentionPatch) else "both"
        weights = (mine if part == "values" else other)[0][edit.layer, edit.head]
        values = (mine if part == "pattern" else other)[1][edit.layer]
        group = mine[0].shape[1] // values.shape[0]
        z = (weights[:, None] * values[edit.head // group]).sum(0)

        def put(_module: Any, inputs: Any, head: int = edit.head, z: torch.Tensor = z) -> Any:
            changed = inputs[0].clone()
            changed[0, -1, head * len(z) : (head + 1) * len(z)] = z
            return (changed,)

        handles.append(model.model.layers[edit.layer].self_attn.o_proj.register_forward_pre_hook(put))
    try:
        with torch.no_grad():
            return model(torch.tensor([base.ids])).logits[0, -1].float()
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_rows_agree_with_a_whole_eager_forward(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    packed = at.engine.decode(at.base, [(), *ROWS], at.donors).logits
    slow = torch.stack([under_hooks(family, at.base, row, at.donors) for row in ROWS])
    torch.testing.assert_close(packed[1:], slow, atol=1e-4, rtol=0)
    assert ((packed[1:] - packed[0]).abs().amax(1) > 1e-3).all()


@pytest.mark.parametrize("part", ["pattern", "values"])
@pytest.mark.parametrize("family", FAMILIES)
def test_both_parts_of_one_prompt_are_its_own_output(family: str, part: Literal["pattern", "values"]) -> None:
    """So the two parts split what HeadPatch puts in, sinks, windows and groups of heads included."""
    at = setting(family)
    layers, heads = at.base.z.shape[:2]
    for layer in range(layers):
        for head in range(heads):
            edit = AttentionPatch(layer, head, 0, part)
            found = mixed_output(edit, at.donors[0], at.donors[0])
            torch.testing.assert_close(found, at.donors[0].z[layer, head], atol=1e-5, rtol=0)


def test_the_parts_are_not_one_another() -> None:
    at = setting("llama")
    rows: list[Row] = [ROWS[0], ROWS[1], (HeadPatch(1, 2, 0),)]
    found = at.engine.decode(at.base, rows, at.donors).logits
    assert min(float((found[i] - found[j]).abs().max()) for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-3


def test_prompts_run_without_attention_are_refused() -> None:
    at = setting("llama")
    plain = at.engine.prefill(at.base.ids)
    with pytest.raises(PkvError, match="attn, which was not captured"):
        at.engine.decode(plain, [ROWS[0]], at.donors)
    with pytest.raises(PkvError, match="attn, which was not captured"):
        at.engine.decode(at.base, [ROWS[0]], [plain])


def test_what_there_is_not_is_refused() -> None:
    at = setting("llama")
    unknown: Any = "keys"
    with pytest.raises(PkvError, match="'keys' of the attention is unknown"):
        AttentionPatch(0, 0, 0, unknown)
    for edit, line in (
        (AttentionPatch(0, 99, 0, "values"), "head 99"),
        (AttentionPatch(0, 0, 7, "values"), "donor 7"),
    ):
        with pytest.raises(PkvError, match=line):
            at.engine.decode(at.base, [(edit,)], at.donors)
    assert at.base.need("own_values").shape[1] * at.base.cache.length < LENGTH * at.base.z.shape[1]
