"""Low-rank tuning on a few statements until a decision flips (LoRA: Hu et al. 2021, arXiv 2106.09685)."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from pkv_interp.cache.forward import first_positions, fresh_rotation
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite
from pkv_interp.weight_editing.projections import down_projections
from pkv_interp.weight_editing.statements import Statement

#: Query and value projections, which Phi-3 holds in one matrix with the keys.
_SPLIT, _FUSED = ("q_proj", "v_proj"), ("qkv_proj",)


@dataclass(frozen=True)
class LoraSettings:
    """How an adapter is trained.

    Attributes:
        rank, alpha: of the adapter, on query, value and down projections.
        rate: learning rate of Adam.
        steps: Adam steps at most.
        check_every: steps between two looks at the decision.
    """

    rank: int = 8
    alpha: int = 16
    rate: float = 1e-3
    steps: int = 30
    check_every: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.rank, self.alpha, self.steps, self.check_every) < 1 or self.rate <= 0.0:
            raise PkvError("rank, alpha, rate and steps of an adapter are above 0", "leave them as they are")


@dataclass(frozen=True)
class Trained:
    """Steps that an adapter took, and whether the decision flipped within them."""

    steps: int
    flipped: bool


@contextmanager
def lora_edit(
    model: PreTrainedModel,
    statements: Sequence[Statement],
    flipped: Callable[[], bool],
    settings: LoraSettings | None = None,
) -> Iterator[Trained]:
    """The model with an adapter trained on the statements' targets inside the block, as it was after it.

    The adapter is never merged: taking it away puts the old modules back, so the weights are those of before
    bit for bit.

    Args:
        model: carries the adapter inside the block and is left as it was.
        statements: texts and the tokens to say after them; every one counts the same.
        flipped: asked every few steps with the adapter in place; training stops when it says yes.
        settings: rank, rate and steps; the defaults where None.

    Raises:
        PkvError: no statement, or a model without plain down projections.
    """
    chosen = settings or LoraSettings()
    down_projections(model)
    if not statements:
        raise PkvError("there is no statement to train on", "give at least one")
    core: Any = model
    attention = core.model.layers[0].self_attn
    projections = _SPLIT if hasattr(attention, _SPLIT[0]) else _FUSED
    trainable = {name: p.requires_grad for name, p in model.named_parameters()}
    config = LoraConfig(
        r=chosen.rank,
        lora_alpha=chosen.alpha,
        target_modules=[*projections, "down_proj"],
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.manual_seed(chosen.seed)
        wrapped: Any = get_peft_model(model, config)
    try:
        wrapped.eval()
        yield _train(model, statements, flipped, chosen)
    finally:
        wrapped.unload()
        for name, p in model.named_parameters():
            p.requires_grad_(trainable[name])


def _train(
    model: PreTrainedModel,
    statements: Sequence[Statement],
    flipped: Callable[[], bool],
    settings: LoraSettings,
) -> Trained:
    """Adam on the mean cross-entropy of the targets; one forward per shape, so that none is padded."""
    core: Any = model
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=settings.rate)
    groups: dict[int, list[Statement]] = {}
    for one in statements:
        groups.setdefault(len(one.ids), []).append(one)
    for step in range(1, settings.steps + 1):
        optimiser.zero_grad()
        with torch.enable_grad():
            for group in groups.values():
                ids = torch.tensor([one.ids for one in group], device=model.device)
                targets = torch.tensor([one.target for one in group], device=model.device)
                with fresh_rotation(model):
                    out = core(
                        input_ids=ids, use_cache=False, logits_to_keep=1, **first_positions(model, ids)
                    )
                logits = out.logits[:, -1].float()
                loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
                finite(loss.detach(), "the losses of the targets")
                (loss / len(statements)).backward()
        optimiser.step()
        if (step % settings.check_every == 0 or step == settings.steps) and flipped():
            return Trained(step, True)
    return Trained(settings.steps, False)
