"""What the columns that a decision reads write into its margin, directly, head by head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite
from pkv_interp.models.contributions import split_heads
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.unembedding import direct_logit


@torch.no_grad()
def source_writes(
    loaded: LoadedModel, base: Prefill, sources: Sequence[Sequence[int]], action_ids: tuple[int, int]
) -> Float[Tensor, "S+1 L H"]:
    """What each head writes into the margin from each set of columns, and last from the rest.

    A head's output is its weights times the values. The part of a source is taken through the output
    projection, the norms (their scale fixed) and the unembedding; what later blocks make of it is not in it.
    The rest holds the decision token's own column and every column that no source names, so that the sum over
    sources is the head's direct contribution.

    Args:
        loaded: the model.
        base: run or opened with ``capture={"attention"}``.
        sources: positions before the decision token, each in one source at most; a source may be empty.
        action_ids: the margin is the first one's logit minus the second's.

    Raises:
        PkvError: attention was not captured, or a position is out of range or in two sources.
    """
    named = [position for source in sources for position in source]
    if len(set(named)) != len(named) or not all(0 <= position < base.cache.length for position in named):
        raise PkvError(
            f"a position is in two sources or is none of 0 to {base.cache.length - 1}",
            "name each column before the decision token once at most",
        )
    attn = base.need("attn")
    member = torch.zeros(len(sources), base.cache.length, device=attn.device)
    for index, source in enumerate(sources):
        member[index, list(source)] = 1.0
    parts, group = [], loaded.spec.n_heads // loaded.spec.n_kv_heads
    for layer, values in enumerate(base.cache.values):
        value = repeat(values[0].float(), "kv t d -> (kv group) t d", group=group)
        read = torch.einsum("ht,st,htd->shd", attn[layer, :, :-1], member, value)
        parts.append(torch.cat([read, (base.z[layer].float() - read.sum(0))[None]]))
    written = split_heads(loaded.model, loaded.spec.anatomy, list(base.z), parts)
    flat = rearrange(written, "s layers heads d -> (s layers heads) d")
    logits = direct_logit(loaded.model, loaded.spec.anatomy, flat, base.resid[-1], action_ids)
    margins = finite(logits[:, 0] - logits[:, 1], "the direct contributions")
    return margins.view(written.shape[:3])
