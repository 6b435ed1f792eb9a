"""The load check: what we read of a model, held against the model's own forward of a few tokens.

Our reading says where a block writes to the stream, how scores are made and masked, and how the last residual
becomes logits. Each of these is computed here from what went into it and compared with what came out. A model
that fails an item is refused by name, before anything is measured on it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache.measured import NARROW
from pkv_interp.cache.rope import boundary_of, rotated_types
from pkv_interp.errors import PkvError
from pkv_interp.models.anatomy import softcapped, written
from pkv_interp.models.attention import attention_outputs
from pkv_interp.models.contributions import split_stream
from pkv_interp.models.recording import Recording, record
from pkv_interp.models.spec import ModelSpec
from pkv_interp.models.unembedding import constant_logit, direct_logit, lens
from pkv_interp.tolerances import Tolerance, tolerance_of

#: Tokens whose logits are split into parts.
_SPLIT = 64
#: Positions whose rotation is compared between a short and a long prompt.
_POSITIONS = 16


@dataclass(frozen=True)
class LoadCheck:
    """Largest relative errors of our reading of a model, over its layers and a few tokens.

    Attributes:
        stream: of what enters a block plus what attention and MLP write, from what leaves it.
        attention: of heads computed from queries, keys and values under our masks, from the model's own.
        lens: of our logits of the last residual, from the model's logits.
        direct_logits: of the summed direct logits of all parts, from the logits before the softcap.
        rotation: of the rotation of early positions in a long prompt, from that in a short one; not 0 where
            the frequencies follow the length.
    """

    stream: float
    attention: float
    lens: float
    direct_logits: float
    rotation: float

    def numbers(self) -> dict[str, float]:
        """The errors by name, as a record holds them."""
        return asdict(self)


@torch.no_grad()
def check_model(model: PreTrainedModel, spec: ModelSpec) -> LoadCheck:
    """Hold ``spec`` against a forward of ``model``.

    Raises:
        PkvError: naming the first item that our reading gets wrong.
    """
    recording, allowed = record(model), tolerance_of(model.dtype)
    check = LoadCheck(
        stream=_stream(model, spec, recording, allowed),
        attention=_attention(spec, recording),
        lens=_lens(model, spec, recording),
        direct_logits=_direct(model, spec, recording),
        rotation=_rotation(model),
    )
    what = type(model).__name__
    _refuse(check.stream, allowed.parts, f"{what} does not add attention and MLP to its stream as was read")
    _refuse(
        check.attention, allowed.outputs, f"heads of {what} are not those of its queries, keys and values"
    )
    _refuse(
        check.lens, allowed.outputs, f"{what} does not make its logits by final norm and unembedding alone"
    )
    _refuse(check.direct_logits, allowed.parts, f"parts of the stream of {what} do not sum to its logits")
    if boundary_of(model) is None:
        _refuse(check.rotation, allowed.keys, f"rotary frequencies of {what} follow the length, unknown how")
    return check


def _refuse(error: float, allowed: float, cause: str) -> None:
    if not error <= allowed:  # not finite: refused as well
        raise PkvError(
            f"{cause}: off by {error:.1e}, and {allowed:.0e} is allowed",
            "use another architecture: numbers of this one would be wrong",
        )


def _relative(found: Float[Tensor, "*n d"], wanted: Float[Tensor, "*n d"]) -> float:
    """The largest distance of two vectors over the length of the wanted one."""
    miss = (found.double() - wanted.double()).norm(dim=-1)
    return float((miss / wanted.double().norm(dim=-1).clamp_min(1e-30)).max())


def _stream(model: Any, spec: ModelSpec, recording: Recording, allowed: Tolerance) -> float:
    """Relative to what a block adds, unless that is lost in the rounding of the stream it is added to."""
    worst = 0.0
    for layer, block, seen in zip(model.model.layers, spec.anatomy.blocks, recording.blocks, strict=True):
        entering, leaving = seen.need("entering"), seen.need("leaving")
        attention = written(layer, block.attention_norm, block.attention_factor, seen.need("projected"))
        mlp = written(layer, block.mlp_norm, block.mlp_factor, seen.need("mlp"))
        miss = (entering.double() + attention.double() + mlp.double() - leaving.double()).norm(dim=-1)
        added = (leaving.double() - entering.double()).norm(dim=-1)
        rounding = 4 * torch.finfo(leaving.dtype).eps * leaving.double().norm(dim=-1) / allowed.parts
        worst = max(worst, float((miss / torch.maximum(added, rounding).clamp_min(1e-30)).max()))
    return worst


def _attention(spec: ModelSpec, recording: Recording) -> float:
    worst = 0.0
    for block, window, seen in zip(spec.anatomy.blocks, spec.windows, recording.blocks, strict=True):
        given = seen.attended
        assert given is not None
        ours = attention_outputs(
            given.query,
            given.key,
            given.value,
            block.scaling,
            None if window is None else NARROW,
            block.softcap,
            given.sinks if spec.sinks else None,
        )
        worst = max(worst, _relative(rearrange(ours, "h t d -> t (h d)"), seen.need("z")))
    return worst


def _lens(model: Any, spec: ModelSpec, recording: Recording) -> float:
    ours = softcapped(lens(model, spec.anatomy, recording.blocks[-1].need("leaving")), spec.softcap)
    return _relative(ours, recording.logits)


def _direct(model: Any, spec: ModelSpec, recording: Recording) -> float:
    """At the last token, over the first tokens of the vocabulary."""
    z = [rearrange(b.need("z")[-1], "(h d) -> h d", h=spec.n_heads) for b in recording.blocks]
    mlp = [block.need("mlp")[-1] for block in recording.blocks]
    parts = split_stream(model, spec.anatomy, z, mlp, recording.blocks[0].need("entering")[-1])
    stack = torch.cat(
        [
            parts.embedding[None],
            parts.attention_bias,
            rearrange(parts.heads, "layer head d -> (layer head) d"),
            parts.mlps,
        ]
    )
    final, tokens = recording.blocks[-1].need("leaving")[-1], range(min(_SPLIT, spec.vocab_size))
    summed = direct_logit(model, spec.anatomy, stack, final, tokens).sum(0)
    summed = summed + constant_logit(model, spec.anatomy, final, tokens)
    return _relative(softcapped(summed, spec.softcap), recording.logits[-1, : len(tokens)])


def _rotation(model: Any) -> float:
    """How far the rotation of early positions moves in a prompt far past the stated limit."""
    module = getattr(model.model, "rotary_emb", None)
    if module is None:
        return 0.0
    module = copy.deepcopy(module)  # a forward over a long prompt is remembered by some
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    like = torch.zeros(1, 1, 1, dtype=torch.float32, device=model.device)
    short = torch.arange(_POSITIONS, device=model.device)[None]
    long = torch.cat([short, torch.tensor([[2 * max(limit, _POSITIONS)]], device=model.device)], 1)
    kinds: Sequence[Any] = [None]
    if "layer_type" in inspect.signature(module.forward).parameters:
        types = getattr(model.config, "layer_types", None) or ["full_attention"]
        kinds = rotated_types(model.config, types)
    worst = 0.0
    for kind in kinds:
        given = () if kind is None else (kind,)
        before, after = (module(like, at, *given) for at in (short, long))
        for one, other in zip(_tensors(before), _tensors(after), strict=True):
            worst = max(worst, float((one - other[..., :_POSITIONS, :]).abs().max()))
    return worst


def _tensors(value: Any) -> tuple[Tensor, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (torch.view_as_real(value).flatten(-2),)
