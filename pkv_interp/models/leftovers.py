"""What loading left over or left out, and weights that are no numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from pkv_interp.errors import PkvError

#: Buffers that old checkpoints hold and that every model computes for itself.
_COMPUTED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|inv_freq|masked_bias|attn\.bias|position_ids)$")


def check_report(
    model: PreTrainedModel, report: Mapping[str, Any], where: str, *, part_of_a_whole: bool
) -> None:
    """Refuse a checkpoint that does not fit its configuration, by the first weight that does not.

    Args:
        model: as it was loaded.
        report: what transformers says of the loading.
        where: the checkpoint.
        part_of_a_whole: it is the language model of a multimodal checkpoint, whose other parts are left out.

    Raises:
        PkvError: weights are missing, of another shape, left over, or stored different although tied.
    """
    odd = sorted((name, tuple(held), tuple(wanted)) for name, held, wanted in report["mismatched_keys"])
    if odd:
        name, held, wanted = odd[0]
        more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        raise PkvError(
            f"checkpoint {where} holds {name} of shape {held}, and its config makes it {wanted}{more}",
            "correct the config (sizes, heads, vocabulary), or fetch or save the checkpoint again",
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise PkvError(
            f"checkpoint {where} lacks {len(missing)} weights, first {missing[0]}",
            "fetch or save it again, whole",
        )
    left = sorted(name for name in report["unexpected_keys"] if not _COMPUTED.search(name))
    if part_of_a_whole:
        left = [name for name in left if name.startswith(_own_prefixes(model))]
    if left:
        raise PkvError(
            f"checkpoint {where} holds {len(left)} weights that its config.json leaves out, first {left[0]}",
            "correct its config.json (biases, number of layers, model_type), or save it again",
        )
    head: Any = getattr(model, "lm_head", None)
    embedding: Any = model.get_input_embeddings()
    tied = bool(getattr(model.config, "tie_word_embeddings", False))
    if tied and head is not None and embedding is not None and head.weight is not embedding.weight:
        raise PkvError(
            f"checkpoint {where} stores lm_head.weight different from the embedding that it is tied to",
            "set tie_word_embeddings in its config.json to what the weights are",
        )


def _own_prefixes(model: PreTrainedModel) -> tuple[str, ...]:
    """Beginnings of names that belong to the language model itself."""
    core: Any = model
    inner = [f"model.{name}." for name, _ in core.model.named_children()] if hasattr(core, "model") else []
    return (*inner, "lm_head.")


def check_finite(model: PreTrainedModel, name: str) -> None:
    """Refuse weights with an infinity or NaN, which a narrower dtype than the checkpoint's gives as well.

    Raises:
        PkvError: naming the first such weight.
    """
    for key, weight in model.named_parameters():
        plain = weight.is_floating_point() and weight.element_size() > 1
        # The sum is quick; it may overflow by itself, so the numbers decide.
        if plain and not bool(weight.sum().isfinite()) and not bool(weight.isfinite().all()):
            held = str(weight.dtype).removeprefix("torch.")
            raise PkvError(
                f"{name} has weights in {held} that are not finite, first {key}",
                "use model.dtype=float32 or bfloat16, or fetch the checkpoint again",
            )
