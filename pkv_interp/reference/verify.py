"""A run's own cross-check: one case computed again in TransformerLens, on another route from start to end.

The engine prefills with nnsight, patches the cache and decodes one token over it. Here both prompts run
whole, with no cache, and the patch overwrites keys and values inside the forward, so that nothing is shared
with the engine but weights and token ids.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.interventions import KVPatch
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import Case

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

#: The bridge needs a second copy of the weights: above this size a run is not checked unless it asks to be.
MOST_PARAMETERS = 1_000_000_000


@dataclass(frozen=True)
class BridgeCheck:
    """Largest absolute differences between engine and bridge on one case, in logits; None where skipped.

    Attributes:
        logits: of the final logits of both prompts, over the whole vocabulary.
        margin: of the margins of both prompts.
        patched: of the corrupt prompt's margin when its decision token reads all notes from the clean prompt.
        effect: how far that patch moves the margin on the bridge: the scale of ``patched``.
        skipped: in one line, why nothing was compared; None where it was.
    """

    logits: float | None = None
    margin: float | None = None
    patched: float | None = None
    effect: float | None = None
    skipped: str | None = None

    @property
    def worst(self) -> float | None:
        """The largest of the three differences: what a run records as its control."""
        values = (self.logits, self.margin, self.patched)
        return None if self.skipped is not None else max(value for value in values if value is not None)


def checked_by_default(loaded: LoadedModel) -> bool:
    """Whether the model is small enough to be held twice for the check."""
    return loaded.info.n_parameters < MOST_PARAMETERS


def verify_with_bridge(engine: Engine, case: Case) -> BridgeCheck:
    """Compare the engine with a ``TransformerBridge`` on the two prompts of a case and on one KV patch.

    The bridge gets a copy of the model, which is freed before this returns.

    Args:
        engine: what is checked, on the model that it holds.
        case: clean and corrupt prompt; its notes are patched, all of them in all layers.

    Returns:
        The differences, or why there are none: the bridge does not know the architecture, or its copy of the
        weights cannot be made.
    """
    opened = _open(engine.loaded)
    if isinstance(opened, str):
        return BridgeCheck(skipped=opened)
    try:
        return _compare(engine, opened, case)
    finally:
        # The bridge refers to itself, so its copy of the weights would wait for the collector.
        del opened
        gc.collect()


def _open(loaded: LoadedModel) -> TransformerBridge | str:
    """The bridge, or why there is none."""
    from pkv_interp.reference.bridge import build_bridge

    try:
        bridge = build_bridge(loaded)
    except PkvError as error:
        return error.cause
    except Exception as error:
        # TransformerLens raises whatever its adapters run into on a model that they were not written for.
        first = str(error).strip().partition("\n")[0]
        name = type(loaded.model).__name__
        return f"TransformerLens cannot load {name} ({type(error).__name__}: {first})"
    missing = [name for name in _hook_names(loaded.spec.n_layers) if name not in bridge.hook_dict]
    return f"TransformerLens has no {missing[0]} for {type(loaded.model).__name__}" if missing else bridge


def _hook_names(n_layers: int) -> list[str]:
    """Keys and values of every layer, before RoPE: the prompts are aligned, so RoPE turns both alike."""
    return [f"blocks.{layer}.attn.hook_{part}" for layer in range(n_layers) for part in "kv"]


def _compare(engine: Engine, bridge: TransformerBridge, case: Case) -> BridgeCheck:
    notes = list(range(case.after_change, case.clean.decision))
    names = _hook_names(engine.spec.n_layers)
    with torch.no_grad():
        device = engine.loaded.model.device
        tokens = [torch.tensor([list(prompt.ids)], device=device) for prompt in (case.clean, case.corrupt)]
        out, donor = bridge.run_with_cache(tokens[0], names_filter=lambda name: name in names)
        clean, corrupt = _last(out), _last(bridge(tokens[1]))
        hooks: Any = [(name, _overwrite(donor[name], notes)) for name in names]
        # Notes read each other's new values here, which changes nothing: what they hold is overwritten again
        # in every later layer, and nothing before them sees them.
        patched = _last(bridge.run_with_hooks(tokens[1], fwd_hooks=hooks))
    mine = [engine.prefill(prompt.ids) for prompt in (case.clean, case.corrupt)]
    decoded = engine.decode(mine[1], [(KVPatch(tuple(notes), 0),)], mine[:1], case.action_ids)
    pairs = [(mine[0].logits, clean), (mine[1].logits, corrupt)]
    margins = [(_margin(ours, case.action_ids), _margin(theirs, case.action_ids)) for ours, theirs in pairs]
    moved = _margin(patched, case.action_ids)
    return BridgeCheck(
        logits=max(float((ours - theirs).abs().max()) for ours, theirs in pairs),
        margin=max(abs(ours - theirs) for ours, theirs in margins),
        patched=abs(float(decoded.logits[0, 0] - decoded.logits[0, 1]) - moved),
        effect=abs(moved - margins[1][1]),
    )


def _last(output: Any) -> Float[Tensor, " vocab"]:
    logits: Tensor = output[0] if isinstance(output, tuple) else output
    return logits[0, -1].float()


def _margin(logits: Float[Tensor, " vocab"], action_ids: tuple[int, int]) -> float:
    return float(logits[action_ids[0]] - logits[action_ids[1]])


def _overwrite(donor: Float[Tensor, "1 T n_kv d"], positions: Sequence[int]) -> Callable[..., Any]:
    def hook(acts: Float[Tensor, "1 T n_kv d"], hook: Any) -> Float[Tensor, "1 T n_kv d"]:
        del hook
        edited = acts.clone()
        edited[:, positions] = donor[:, positions]
        return edited

    return hook
