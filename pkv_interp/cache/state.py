"""What a reading of a model rests on: cheap to look at again, so that nothing that is kept goes stale."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from transformers import PreTrainedModel

from pkv_interp.cache.forward import FOLLOWING, rope_kinds
from pkv_interp.errors import PkvError

T = TypeVar("T")
#: Keys of a configuration that say which tokens a layer sees, and where they stand.
_STATED = (
    "num_hidden_layers",
    "layer_types",
    "sliding_window",
    "attention_chunk_size",
    "attn_temperature_tuning",
    "floor_scale",
    "is_causal",
    "is_decoder",
    "use_bidirectional_attention",
    "max_position_embeddings",
    "rope_parameters",
)
#: Attributes of modules that say the same.
_HELD = ("is_causal", "sliding_window", "attention_chunk_size", "floor_scale", "rope_type")


def form_of(model: PreTrainedModel) -> Hashable:
    """What windows, masks and rotation rest on: of the configuration, and of the modules themselves."""
    config: Any = model.config.get_text_config()
    held: list[Hashable] = [str([getattr(config, name, None) for name in _STATED])]
    for module in model.modules():
        mine = vars(module)
        told = [(name, str(mine[name])) for name in _HELD if name in mine]
        if told:
            held.append((*told, *_frequencies(module)))
    return tuple(held)


class PerForm(Generic[T]):
    """What is read of a model, read again only when what it rests on has changed.

    Args:
        read: makes the reading.
    """

    def __init__(self, read: Callable[[PreTrainedModel], T]) -> None:
        self._read = read
        self._found: WeakKeyDictionary[nn.Module, tuple[Hashable, T]] = WeakKeyDictionary()

    def of(self, model: PreTrainedModel) -> T:
        """The reading of a model as it is now."""
        form, known = form_of(model), self._found.get(model)
        if known is None or known[0] != form:
            known = self._found[model] = (form, self._read(model))
        return known[1]


def weights_state_of(model: nn.Module) -> Hashable:
    """Which tensors the weights are, and how often each was written to in place."""
    return tuple((weight.data_ptr(), weight._version) for weight in model.parameters())


def refuse_training(model: nn.Module) -> None:
    """Refuse a model in training mode, whose dropout makes two runs of one prompt differ.

    Raises:
        PkvError: the model is in training mode, or a part of it that drops numbers at random.
    """
    for name, module in model.named_modules():
        if module.training and (module is model or _drops(module)):
            part = f", its {name}" if name else ""
            raise PkvError(f"{type(model).__name__}{part} is in training mode", "call model.eval() first")


def _drops(module: nn.Module) -> bool:
    mine = vars(module)
    rates = [mine.get("p")] if isinstance(module, nn.modules.dropout._DropoutNd) else []
    rates += [value for name, value in mine.items() if "dropout" in name]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def _frequencies(module: nn.Module) -> list[Hashable]:
    """Inverse frequencies of a rotary module; the ones it was made with, where they follow the prompt."""
    found: list[Hashable] = []
    for prefix, kind in rope_kinds(module).items():
        name = f"{prefix}original_inv_freq" if kind in FOLLOWING else f"{prefix}inv_freq"
        inverse = getattr(module, name, None)
        if isinstance(inverse, Tensor):
            found.append(tuple(inverse.detach().float().reshape(-1).tolist()))
    return found
