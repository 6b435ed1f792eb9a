"""Losses of prompts under an attention layout: one forward with the masks that the layout's prefill has.

The masks are those of `pkv_interp.cache.masks`, one per row, so that what is learnt under them is what an
editable context or a splice runs. What the rows of a forward begin with runs once, as far as no row's layout
restricts it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

import torch
from jaxtyping import Float, Int
from peft import PeftModel
from torch import Tensor
from transformers.cache_utils import DynamicCache

from pkv_interp.cache.attention_layout import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.forward import at_positions, first_positions, fresh_rotation
from pkv_interp.cache.masks import WITHOUT_LAYOUT, additive_masks, check_masks
from pkv_interp.cache.window import Window
from pkv_interp.finite import finite
from pkv_interp.models.unembedding import logits_of
from pkv_interp.training.courses import Objective
from pkv_interp.training.layout_tokens import LayoutSequence
from pkv_interp.training.losses import LEAST_SHARED, last_hidden, shared_batches
from pkv_interp.training.tokens import TokenSequence, pad


def kinds_of(model: Any) -> dict[str, Window]:
    """Kinds of the model's layers with the window of each, once it is known to take masks.

    Args:
        model: in eval mode, without an adapter that is not merged.

    Raises:
        PkvError: see `check_masks` and `Runner.of`.
    """
    check_masks(model, WITHOUT_LAYOUT)
    runner = Runner.of(model)
    return dict(zip(runner.types, runner.windows, strict=True))


def layout_masks(
    at: Int[Tensor, " n"],
    layouts: Sequence[AttentionLayout | None],
    kinds: Mapping[str, Window],
    dtype: torch.dtype,
) -> Tensor | dict[str, Tensor]:
    """Additive masks Float[rows, 1, n, columns] of tokens at the positions ``at`` over all columns so far.

    Args:
        at: positions, ascending, the same in every row.
        layouts: of each row.
        kinds: see `kinds_of`.
        dtype: of the model.
    """
    rows = [additive_masks(at, kinds, dtype, layout, whole=True) for layout in layouts]
    if len(kinds) == 1:
        return torch.cat([row for row in rows if isinstance(row, Tensor)])
    by_kind = [row for row in rows if isinstance(row, dict)]
    return {kind: torch.cat([row[kind] for row in by_kind]) for kind in kinds}


def masked_hidden(
    core: Any,
    ids: Int[Tensor, "rows n"],
    layouts: Sequence[AttentionLayout | None],
    kinds: Mapping[str, Window],
    shared: int = 0,
) -> Float[Tensor, "rows rest width"]:
    """Last hidden states of right-padded rows, each under its layout. Call it within ``fresh_rotation``.

    Args:
        core: the model without adapter wrapper.
        ids: of the rows.
        layouts: of each row.
        kinds: see `kinds_of`.
        shared: tokens that all rows begin with and no layout restricts; they run once and are left out.
    """
    cache = DynamicCache()
    if shared:
        beginning = ids[:1, :shared]
        core.model(
            input_ids=beginning,
            use_cache=True,
            past_key_values=cache,
            attention_mask=layout_masks(torch.arange(shared, device=ids.device), [None], kinds, core.dtype),
            **first_positions(core.model, beginning),
        )
        cache.batch_repeat_interleave(len(ids))
    at = torch.arange(shared, ids.shape[1], device=ids.device)
    return core.model(
        input_ids=ids[:, shared:],
        use_cache=True,
        past_key_values=cache,
        attention_mask=layout_masks(at, layouts, kinds, core.dtype),
        **at_positions(core.model, at, len(ids)),
    ).last_hidden_state


def layout_of(sequence: TokenSequence) -> AttentionLayout | None:
    """The layout of a sequence; a chat has none."""
    return sequence.layout if isinstance(sequence, LayoutSequence) else None


def shared_by(group: Sequence[TokenSequence]) -> int:
    """Tokens that a group begins with, before anything that is supervised or restricted; 0 where few."""
    if len(group) < 2:
        return 0
    same = len(commonprefix([one.ids for one in group]))
    free = [layout.first_restricted for one in group if (layout := layout_of(one)) is not None]
    same = min([same, *free, *(min(one.targets, default=len(one.ids) - 1) for one in group)])
    return same if same >= LEAST_SHARED else 0


def layout_batches(sequences: list[TokenSequence], budget: int) -> list[list[TokenSequence]]:
    """Micro-batches whose members begin alike where they can, and are of similar length elsewhere."""
    return [group for _, group in shared_batches(sequences, budget)]


@dataclass(frozen=True, eq=False)
class LayoutLosses:
    """A `Losses` of the trainer: every row under its layout, chats under none.

    Attributes:
        kinds: see `kinds_of`.
        objective: how actions are learnt; of chats it is always the reply, of values read back the value.
        teacher: the model that is distilled, which runs the same prompts without a layout.
    """

    kinds: Mapping[str, Window]
    objective: Objective = "answers"
    teacher: Any = None

    def __call__(self, model: Any, group: list[TokenSequence], fill: int) -> tuple[Tensor, Tensor]:
        """Loss and correctness at every supervised position of a group, in order."""
        ids = pad(group, fill).to(model.device)
        rows = torch.tensor([r for r, one in enumerate(group) for _ in one.targets], device=ids.device)
        cols = torch.tensor([t for one in group for t in one.targets], device=ids.device)
        core: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        shared = shared_by(group)
        with fresh_rotation(core):
            hidden = masked_hidden(core, ids, [layout_of(one) for one in group], self.kinds, shared)
        logits = logits_of(core, hidden[rows, cols - shared])
        gold = ids[rows, cols + 1]
        losses = torch.nn.functional.cross_entropy(logits, gold, reduction="none")
        if self.objective != "answers":
            asked = [
                at
                for at, (one, target) in enumerate((one, target) for one in group for target in one.targets)
                if isinstance(one, LayoutSequence) and target in one.answers
            ]
            if asked:
                where = torch.tensor(asked, device=ids.device)
                taught = self._taught(ids, rows[where], cols[where], shared)
                actions = torch.tensor(
                    [one.actions for one in group if isinstance(one, LayoutSequence) for _ in one.answers],
                    device=ids.device,
                )
                losses = losses.index_copy(0, where, self._apart(logits[where], taught, actions))
        finite(losses.detach(), "the training losses", "train in float32, or lower the learning rate")
        return losses, logits.argmax(-1) == gold

    def _taught(
        self, ids: Int[Tensor, "rows n"], rows: Int[Tensor, " k"], cols: Int[Tensor, " k"], shared: int
    ) -> Float[Tensor, "k vocab"]:
        """What the teacher says at the supervised positions."""
        with torch.no_grad(), fresh_rotation(self.teacher):
            hidden = last_hidden(self.teacher, ids, shared)[rows, cols - shared]
            return logits_of(self.teacher, hidden).float()

    def _apart(
        self,
        logits: Float[Tensor, "k vocab"],
        taught: Float[Tensor, "k vocab"],
        actions: Int[Tensor, "k two"],
    ) -> Float[Tensor, " k"]:
        """KL divergence of the teacher's distribution from the model's, in nats."""
        mine = logits.float()
        if self.objective == "distil_actions":
            mine, taught = mine.gather(1, actions), taught.gather(1, actions)
        theirs = taught.log_softmax(-1)
        return (theirs.exp() * (theirs - mine.log_softmax(-1))).sum(-1)
