"""One plain forward over a whole prompt, with its cache and activations kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import nnsight
import torch
from einops import rearrange
from torch import Tensor
from transformers.cache_utils import DynamicCache

from pkv_interp.cache import AttentionLayout, FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.forward import reset_rotation
from pkv_interp.cache.masks import WITHOUT_LAYOUT, check_masks
from pkv_interp.cache.positions import Positions
from pkv_interp.cache.state import refuse_training
from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite, finite_logits
from pkv_interp.models.attention import decision_weights
from pkv_interp.models.spec import ModelSpec

CAPTURES = frozenset({"prefill", "attention", "queries"})


@dataclass(frozen=True, eq=False)
class Start:
    """What a prefill starts from.

    Attributes:
        shared: a prompt whose first tokens need not be run again (``shared_prefix``).
        given: columns of the first tokens, whoever made them, checked by ``check_opened``; what is captured
            is of the tokens after them.
        layout: who sees whom; that of the given columns where there are any.
    """

    shared: Prefill | None = None
    given: FrozenCache | None = None
    layout: AttentionLayout | None = None


NOTHING = Start()


def check_prompt(ids: Sequence[int], capture: frozenset[str]) -> None:
    """Refuse prompts and captures that make no sense.

    Raises:
        PkvError: under two tokens, or an unknown capture.
    """
    if len(ids) < 2:
        raise PkvError(f"a prompt of {len(ids)} tokens has no prefix", "give at least two tokens")
    if unknown := set(capture) - CAPTURES:
        raise PkvError(f"capture {sorted(unknown)} is unknown", f"choose from {sorted(CAPTURES)}")


@torch.no_grad()
def run_prefill(
    tracer: Any,
    ids: Sequence[int],
    spec: ModelSpec,
    capture: frozenset[str],
    like: Tensor,
    start_from: Start = NOTHING,
    kept_on: torch.device | None = None,
) -> Prefill:
    """Run ``ids`` once with the model's own masks, or with those of an attention layout.

    Only what is asked for outlives the forward: single positions are copied out of the full activations.

    Args:
        tracer: the nnsight wrapper of the model.
        ids: the prompt, checked by ``check_prompt``.
        spec: shape of the model.
        capture: activations to keep besides those of the decision token.
        like: a tensor of the model's dtype and device.
        start_from: what there is already.
        kept_on: where activations at every position are kept; None: on the model's device.

    Raises:
        PkvError: the decision token lies before the layout's last block.
    """
    refuse_training(tracer._module)
    shared, given = start_from.shared, start_from.given
    layout = start_from.layout if given is None else given.layout
    start = 0 if shared is None else shared_prefix(ids, shared, capture, layout)
    known = None if shared is None or not start else shared.cache.slice(0, start)
    if given is not None:
        start, known = given.length, given
    everywhere, weights, asking = "prefill" in capture, "attention" in capture, "queries" in capture
    kept_on = kept_on if everywhere and kept_on is not None else like.device
    layers = tracer.model.layers
    blocks = spec.anatomy.blocks
    tokens = torch.tensor([list(ids[start:])], device=like.device)
    # A cache without a config has a growing, full layer everywhere, also where the family slides.
    grown = DynamicCache() if known is None else known.view()
    places = torch.arange(start, len(ids), device=like.device)[None]
    model = tracer._module
    positions = Positions.of(model)
    positions.check_served(len(ids))
    if known is not None:
        positions.check_cache(known, len(ids))
    masks = {} if layout is None else _masks(model, layout, places[0], len(ids))
    reset_rotation(model)
    # fmt: off
    with tracer.trace(
        input_ids=tokens, position_ids=places, past_key_values=grown, use_cache=True, logits_to_keep=1,
        **masks,
    ):
        zs = nnsight.save([])
        mlps = nnsight.save([])
        resids = nnsight.save([])
        mids = nnsight.save([])
        attn = nnsight.save([])
        queries = nnsight.save([])
        own = nnsight.save([])
        resids.append(_keep(layers[0].input, everywhere, kept_on))
        for index in range(spec.n_layers):
            layer, block = layers[index], blocks[index]
            entering = layer.input
            if weights or asking:
                # (module, query, key, value, mask), after RoPE and norms; what a family adds is in the
                # keywords.
                args, extra = layer.self_attn.source.attention_interface_1.inputs
                if asking:
                    queries.append(args[1][0])
                if weights:
                    own.append(args[3][0, :, -1].clone())
                    attn.append(decision_weights(
                        args[1], args[2], block.scaling, spec.windows[index], block.softcap,
                        extra.get("s_aux"),
                    ))
            zs.append(_keep(layer.self_attn.o_proj.input, everywhere, kept_on))
            if everywhere:
                # What the attention adds to the stream, by construction: also where the MLP reads another
                # vector (parallel blocks) or norms stand elsewhere.
                added = (
                    layer.self_attn.output[0] if block.attention_norm is None
                    else getattr(layer, block.attention_norm).output
                )
                mids.append(_keep(entering + added * block.attention_factor, everywhere, kept_on))
            written = layer.mlp.output
            written = written[0] if isinstance(written, tuple) else written
            mlps.append(_keep(written, everywhere, kept_on))
            resids.append(_keep(layer.output, everywhere, kept_on))
        out = tracer.output
        logits = out.logits[0, -1].float().save()
        cache = out.past_key_values.save()
    # fmt: on
    reset_rotation(model)
    finite_logits(logits)
    # A number that is not finite stays in the stream, so its end tells of every activation that was kept.
    finite(resids[-1], "the model's activations")
    frozen = FrozenCache.of(cache, positions.regime(len(ids)), layout)
    z_all = rearrange(torch.stack(list(zs)), "layers t (heads d) -> layers t heads d", heads=spec.n_heads)
    mlp_all, resid_all = torch.stack(list(mlps)), torch.stack(list(resids))
    found = Prefill(
        ids=tuple(int(token) for token in ids),
        cache=frozen.slice(0, len(ids) - 1),
        logits=logits,
        z=z_all[:, -1].clone().to(like.device),
        mlp=mlp_all[:, -1].clone().to(like.device),
        resid=resid_all[:, -1].clone().to(like.device),
        attn=torch.stack(list(attn)) if weights else None,
        own_values=torch.stack(list(own)) if weights else None,
        z_all=z_all if everywhere else None,
        mlp_all=mlp_all if everywhere else None,
        resid_all=resid_all if everywhere else None,
        resid_mid_all=torch.stack(list(mids)) if everywhere else None,
        queries=torch.stack(list(queries)) if asking else None,
        given=0 if given is None else given.length,
    )
    return found if shared is None or not start else _with_prefix(found, shared, start)


def _masks(model: Any, layout: AttentionLayout, at: Tensor, length: int) -> dict[str, Any]:
    """The keyword for the model's masks; none where the layout leaves these tokens alone."""
    if layout.end >= length:
        raise PkvError(
            f"the decision token, at {length - 1}, lies before the last block of the attention layout, from "
            f"{layout.end} on",
            "let the last block begin at the question, or earlier",
        )
    if int(at[0]) >= layout.end or layout.first_restricted >= layout.end:
        return {}
    check_masks(model, WITHOUT_LAYOUT)
    return Runner.of(model).masks(at, layout, whole=True)


def shared_prefix(
    ids: Sequence[int], shared: Prefill, capture: frozenset[str], layout: AttentionLayout | None = None
) -> int:
    """Tokens at the start of ``ids`` whose columns and captures can be taken from ``shared``.

    None where its length is another (rotary frequencies may follow the length) or its attention layout is,
    or where it lacks a capture.

    Raises:
        PkvError: ``shared`` was opened over a cache, whose columns need not be those of its tokens.
    """
    shared.need_own_columns()
    kept = {"prefill": shared.z_all, "queries": shared.queries}
    if (
        shared.cache.layout != layout
        or len(ids) != shared.length
        or any(kept[name] is None for name in capture & kept.keys())
    ):
        return 0
    same = (index for index, (a, b) in enumerate(zip(ids, shared.ids, strict=True)) if a != b)
    return min(next(same, len(ids)), len(ids) - 1)


def _with_prefix(found: Prefill, shared: Prefill, start: int) -> Prefill:
    """``found``, which holds the captures of a suffix, with those of the first ``start`` tokens added."""
    every = ("z_all", "mlp_all", "resid_all", "resid_mid_all")
    names = [name for name in every if found.z_all is not None]
    joined = {}
    for name in names:
        suffix = found.need(name)
        joined[name] = torch.cat((shared.need(name)[:, :start].to(suffix.device), suffix), 1)
    if found.queries is not None:
        joined["queries"] = torch.cat((shared.need("queries")[:, :, :start], found.queries), 2)
    return replace(found, **joined)


def _keep(activation: Tensor, everywhere: bool, device: torch.device) -> Tensor:
    """All rows of an activation Float[1, T, d], or a copy of the last, so that the rest can be freed.

    Block by block, so that a device never holds the activations of more than one that are kept elsewhere.
    """
    return (activation[0] if everywhere else activation[0, -1:].clone()).to(device)
