"""One forward of a few tokens with everything kept that the reading of a model's blocks rests on.

Plain PyTorch hooks, and an attention function that notes what it is given before the model's own runs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pkv_interp.cache.forward import fresh_rotation
from pkv_interp.cache.measured import first_ids, narrowed
from pkv_interp.errors import RAISED_BY_MODELS, PkvError

#: Tokens of the forward: more than a narrowed window lets through.
N_TOKENS = 8
_NAME = "pkv_interp_recording"


@dataclass(eq=False)
class Attended:
    """What one call of the attention function was given, and the factor, bound and sinks on its scores."""

    query: Float[Tensor, "H T d"]
    key: Float[Tensor, "n_kv T d"]
    value: Float[Tensor, "n_kv T d"]
    scaling: float
    softcap: float | None
    sinks: Float[Tensor, " H"] | None


@dataclass(eq=False)
class RecordedBlock:
    """What went into and out of one block and its parts; ``children`` are outputs of its other modules.

    Attributes:
        tensors: by "entering", "leaving", "z" (input of o_proj), "projected" (its output), "attention" and
            "mlp" (outputs of those modules).
        attended: what the attention function was given.
        children: per other module of the block its input and its output.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    attended: Attended | None = None
    children: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def need(self, name: str) -> Float[Tensor, "T width"]:
        """One kept tensor, of the only row."""
        return self.tensors[name][0]


@dataclass(frozen=True, eq=False)
class Recording:
    """One forward with narrowed windows.

    Attributes:
        blocks: in order.
        logits: of all tokens, as the model gives them.
    """

    blocks: tuple[RecordedBlock, ...]
    logits: Float[Tensor, "T vocab"]


@torch.no_grad()
def record(model: PreTrainedModel) -> Recording:
    """Run a few tokens with narrowed windows, and keep what goes through every block.

    Raises:
        PkvError: the forward fails, or a block does not show the parts that are read of it.
    """
    core: Any = model
    what, layers = type(model).__name__, list(core.model.layers)
    blocks = tuple(RecordedBlock() for _ in layers)
    handles: list[Any] = []
    tokens = torch.tensor([first_ids(model, N_TOKENS)], device=model.device)
    at = torch.arange(N_TOKENS, device=model.device)[None]
    try:
        for layer, block in zip(layers, blocks, strict=True):
            handles += _watch(layer, block)
        by_module = {layer.self_attn: block for layer, block in zip(layers, blocks, strict=True)}
        with narrowed(model), _attention_noted(model, by_module), fresh_rotation(model):
            out = core(input_ids=tokens, position_ids=at, past_key_values=DynamicCache(), use_cache=True)
    except RAISED_BY_MODELS as error:
        if isinstance(error, PkvError):
            raise
        raise PkvError(
            f"{what} cannot run a few tokens: {error}", "use a model that transformers runs as text"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    for index, block in enumerate(blocks):
        _check_shown(block, layers[index], f"layer {index} of {what}")
    return Recording(blocks, out.logits[0])


def _check_shown(block: RecordedBlock, layer: Any, what: str) -> None:
    wanted = ("entering", "leaving", "z", "projected", "attention", "mlp")
    if lost := [name for name in wanted if name not in block.tensors or block.tensors[name].ndim != 3]:
        raise PkvError(
            f"{what} is no block on one stream of vectors ({', '.join(lost)} not found)",
            "use a decoder laid out like Llama",
        )
    # The engine reads the arguments of that call by its name.
    if block.attended is None or "attention_interface(" not in inspect.getsource(type(layer.self_attn)):
        raise PkvError(
            f"{what} computes its attention outside the interface of transformers",
            "use an architecture whose attention goes through attention_interface",
        )


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple | list) and value else value


def _watch(layer: Any, block: RecordedBlock) -> list[Any]:
    """Hooks that fill ``block``; tensors are kept as they are, so that their identity can be compared."""

    def before(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = args[0] if args else kwargs.get("hidden_states")
            if isinstance(given, Tensor):
                block.tensors[name] = given

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            if isinstance(_first(output), Tensor):
                block.tensors[name] = _first(output)

        return hook

    def child(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: Any, output: Any) -> None:
            if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
                block.children[name] = (args[0], output)

        return hook

    attention, projection = layer.self_attn, layer.self_attn.o_proj
    return [
        layer.register_forward_pre_hook(before("entering"), with_kwargs=True),
        layer.register_forward_hook(after("leaving")),
        projection.register_forward_pre_hook(before("z"), with_kwargs=True),
        projection.register_forward_hook(after("projected")),
        attention.register_forward_hook(after("attention")),
        layer.mlp.register_forward_hook(after("mlp")),
        *(
            module.register_forward_hook(child(name))
            for name, module in layer.named_children()
            if module is not attention and module is not layer.mlp
        ),
    ]


@contextmanager
def _attention_noted(model: PreTrainedModel, by_module: dict[nn.Module, RecordedBlock]) -> Iterator[None]:
    """Within the context, the model's attention notes what it is given and goes on as before."""
    config: Any = model.config
    real = config._attn_implementation

    def noting(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        scaling = kwargs.get("scaling")
        if module in by_module:
            by_module[module].attended = Attended(
                query[0],
                key[0],
                value[0],
                float(query.shape[-1] ** -0.5 if scaling is None else scaling),
                kwargs.get("softcap"),
                kwargs.get("s_aux"),
            )
        return _function(module, real)(module, query, key, value, *args, **kwargs)

    AttentionInterface.register(_NAME, noting)
    AttentionMaskInterface.register(_NAME, ALL_MASK_ATTENTION_FUNCTIONS[real])
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = real
        AttentionInterface._global_mapping.pop(_NAME, None)
        AttentionMaskInterface._global_mapping.pop(_NAME, None)


def _function(module: nn.Module, implementation: str) -> Callable[..., Any]:
    """The attention function that the model itself would take: eager ones live beside their architecture."""
    for kind in type(module).__mro__:
        eager = getattr(sys.modules.get(kind.__module__), "eager_attention_forward", None)
        if eager is not None:
            own = getattr(sys.modules[kind.__module__], "ALL_ATTENTION_FUNCTIONS", ALL_ATTENTION_FUNCTIONS)
            return own.get_interface(implementation, eager)
    raise PkvError(
        f"{type(module).__name__} has no attention function of its own", "use an architecture of transformers"
    )
