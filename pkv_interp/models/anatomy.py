"""How a model's blocks and its last layer are built, read off one forward and not off names.

A block adds two vectors to a stream: what its attention and what its MLP write, each through a norm where the
block has one after it, each times a factor. That holds for pre-norm blocks (Llama), for norms on both sides
(Gemma), after only (OLMo 2), for parallel blocks (Cohere) and for scaled ones (Granite). What does not fit is
told by ``load_check``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.models.norms import frozen_norm
from pkv_interp.models.recording import RecordedBlock, Recording
from pkv_interp.tolerances import tolerance_of


@dataclass(frozen=True)
class Block:
    """How one block writes to the stream, and how its scores are made.

    Attributes:
        attention_norm: name of the block's module between attention and stream, or None.
        mlp_norm: name of the one between MLP and stream, or None.
        attention_factor: of what the attention writes.
        mlp_factor: of what the MLP writes.
        scaling: factor on the attention scores.
        softcap: bound of the tanh on the attention scores, or None.
    """

    attention_norm: str | None = None
    mlp_norm: str | None = None
    attention_factor: float = 1.0
    mlp_factor: float = 1.0
    scaling: float = 1.0
    softcap: float | None = None


@dataclass(frozen=True)
class Anatomy:
    """How a model is built.

    Attributes:
        blocks: in order.
        centred: True where the final norm subtracts the mean (LayerNorm), False where it does not (RMS norm).
        logit_factor: of the logits after the unembedding.
        softcap: bound of the tanh on the scaled logits, or None.
    """

    blocks: tuple[Block, ...]
    centred: bool
    logit_factor: float = 1.0
    softcap: float | None = None


def read_anatomy(model: PreTrainedModel, recording: Recording) -> Anatomy:
    """Read how a model is built off one forward.

    Raises:
        PkvError: the final norm is neither an RMS norm nor a LayerNorm.
    """
    core: Any = model
    final = recording.blocks[-1].need("leaving")
    stated = [getattr(model.config, "residual_multiplier", None)]
    blocks = tuple(
        _block(block, [*stated, *_numbers(layer)], model.dtype)
        for block, layer in zip(recording.blocks, core.model.layers, strict=True)
    )
    centred = frozen_norm(core.model.norm, final[-1]).centred
    factor, softcap = logit_rule(model, core.lm_head(core.model.norm(final)), recording.logits)
    return Anatomy(blocks, centred, factor, softcap)


def written(layer: Any, norm: str | None, factor: float, raw: Float[Tensor, "T d"]) -> Float[Tensor, "T d"]:
    """What an attention or MLP output ``raw`` adds to the stream."""
    return (raw if norm is None else getattr(layer, norm)(raw)) * factor


def _numbers(layer: Any) -> list[float]:
    return [value for value in vars(layer).values() if isinstance(value, float)]


def _block(block: RecordedBlock, stated: Iterable[float | None], dtype: torch.dtype) -> Block:
    added = (block.need("leaving") - block.need("entering")).double().flatten()
    attention, attention_norm = _through(block, "attention")
    mlp, mlp_norm = _through(block, "mlp")
    parts = torch.stack([attention.double().flatten(), mlp.double().flatten()], 1)
    # A part that writes nothing here has no factor that could be told.
    live = parts.abs().amax(0) > 0
    factors = torch.ones(2, dtype=torch.float64, device=parts.device)
    if bool(live.any()):
        chosen = parts[:, live]
        factors[live] = torch.linalg.pinv(chosen.T @ chosen) @ (chosen.T @ added)
    first, second = (_nearest(factor, [1.0, *stated], dtype) for factor in factors.tolist())
    attended = block.attended
    assert attended is not None
    return Block(attention_norm, mlp_norm, first, second, attended.scaling, attended.softcap)


def _through(block: RecordedBlock, part: str) -> tuple[Tensor, str | None]:
    """What a part hands to the stream, and the module that it goes through: told by the tensor itself."""
    raw = block.tensors[part]
    for name, (given, output) in block.children.items():
        same = given.data_ptr() == raw.data_ptr() and given.shape == raw.shape
        if same and output.data_ptr() != raw.data_ptr() and output.shape == raw.shape:
            return output[0], name
    return raw[0], None


def _nearest(measured: float, stated: Iterable[float | None], dtype: torch.dtype) -> float:
    """The stated number that was measured, or what was measured where no statement is near."""
    near = [x for x in stated if x is not None and abs(measured - x) <= tolerance_of(dtype).outputs * abs(x)]
    return min(near, key=lambda x: abs(measured - x)) if near else measured


def logit_rule(
    model: PreTrainedModel, unembedded: Float[Tensor, "T vocab"], logits: Float[Tensor, "T vocab"]
) -> tuple[float, float | None]:
    """Factor and softcap that turn unembedded vectors into the model's logits best.

    A softcap that the config states is taken only where the logits show it.
    """
    config: Any = model.config
    raw, wanted = unembedded.double(), logits.double()
    stated = [1.0, getattr(config, "logit_scale", None)]
    if scaling := getattr(config, "logits_scaling", None):
        stated.append(1.0 / scaling)
    best: tuple[float, float, float | None] | None = None
    for cap in {None, getattr(config, "final_logit_softcapping", None)}:
        uncapped = wanted if cap is None else cap * torch.atanh((wanted / cap).clamp(-1 + 1e-9, 1 - 1e-9))
        inside = torch.ones_like(wanted, dtype=torch.bool) if cap is None else wanted.abs() < 0.9 * cap
        factor = float((raw * uncapped)[inside].sum() / raw.square()[inside].sum().clamp_min(1e-30))
        factor = _nearest(factor, stated, model.dtype)
        miss = float((softcapped(factor * raw, cap) - wanted).norm())
        if best is None or miss < best[0]:
            best = (miss, factor, cap)
    assert best is not None
    return best[1], best[2]


def softcapped(logits: Float[Tensor, "*n"], softcap: float | None) -> Float[Tensor, "*n"]:
    """``softcap * tanh(logits / softcap)``, or the logits as they are when there is no softcap."""
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)
