"""What the gate adapter can do: decisions on families, wordings and updates never seen, and chat loss."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pkv_interp.cache.forward import first_positions, fresh_rotation
from pkv_interp.prompts.errata import UPDATES
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Prompt, Segment, build
from pkv_interp.streams import stream
from pkv_interp.tasks import Case, Family, Instance, Style, Update, field_case
from pkv_interp.tasks.alignment import aligned_values
from pkv_interp.tasks.cases import CUE
from pkv_interp.tasks.draws import draw
from pkv_interp.tasks.wordings import RULES
from pkv_interp.training.tokens import TokenSequence, pad
from pkv_interp.training.trainer import micro_batches, supervised_losses


@dataclass(frozen=True)
class Probe:
    """One prompt with its gold action.

    Attributes:
        condition: what is tested, e.g. ``length-12`` or ``update-tagged``.
        match: the field's current value is the trigger.
        action_ids: gold action first.
    """

    condition: str
    family: str
    instance: str
    wording: str
    match: bool
    prompt: Prompt
    action_ids: tuple[int, int]


def _both_sides(case: Case, condition: str) -> Iterator[Probe]:
    ids = case.action_ids
    for match, prompt, gold in ((True, case.clean, ids), (False, case.corrupt, (ids[1], ids[0]))):
        yield Probe(
            condition,
            case.family,
            f"{case.instance}-{'match' if match else 'mismatch'}",
            case.wording,
            match,
            prompt,
            gold,
        )


def probes(
    families: Sequence[Family], tokenizer: Any, *, seed: int, lengths: Sequence[int], instances: int = 2
) -> list[Probe]:
    """Prompts of every condition: by length, field late, each held-out update wording, an unrelated update.

    Updates always change the value that decides; an unrelated one names another field and must change
    nothing.

    Args:
        families: held-out domains.
        tokenizer: of the model.
        seed: of the draws.
        lengths: numbers of filler sentences.
        instances: per family and condition.
    """
    found: list[Probe] = []
    for family in families:
        for index in range(instances):
            for n in lengths:
                found += _both_sides(
                    field_case(family, index, tokenizer, seed=seed, style=Style(n_fillers=n)), f"length-{n}"
                )
            late = field_case(family, index, tokenizer, seed=seed, style=Style(field_late=True))
            found += _both_sides(late, "field-late")
            raw = field_case(family, index, tokenizer, seed=seed, style=Style(chat=False))
            found += _both_sides(raw, "no-template")
            for wording in UPDATES:
                found += _updated(family, index, tokenizer, seed, wording)
            found += _updated(family, index, tokenizer, seed, "tagged", about="desk lamp")
    return found


def _updated(
    family: Family, index: int, tokenizer: Any, seed: int, wording: str, about: str | None = None
) -> Iterator[Probe]:
    """Prompts with an update line; ``about`` names another field, so that the old value still holds."""
    rng = stream(seed, "gate evaluation", family.name, index)
    pairs = aligned_values(family, tokenizer)
    trigger, other = pairs[int(rng.integers(len(pairs)))]
    chosen = draw(family, rng, 2)
    rule = list(RULES)[index % len(RULES)]
    for match in (True, False):
        new = trigger if match else other
        old = new if about else (other if match else trigger)
        line = other if about and match else trigger if about else new
        turns = Instance(family, index, chosen, rule).messages(
            value=old, trigger=trigger, update=Update(wording, line, about)
        )
        prompt = build(turns, Segment("decision", CUE, "decision"), tokenizer)
        ids = action_ids(prompt, chosen.actions, tokenizer)
        name = "unrelated-update" if about else f"update-{wording}"
        yield Probe(
            name,
            family.name,
            f"{family.name}-{index}-{chosen.record}-{'match' if match else 'mismatch'}",
            rule,
            match,
            prompt,
            ids if match else (ids[1], ids[0]),
        )


@torch.no_grad()
def answer(model: Any, tokenizer: Any, found: Sequence[Probe], budget: int = 4096) -> list[tuple[float, int]]:
    """Margin towards the gold action and the full-vocabulary argmax, per probe and in order.

    Args:
        model: the trained model.
        tokenizer: of the model.
        found: the probes.
        budget: tokens per forward.
    """
    fill = int(tokenizer.eos_token_id or 0)
    sequences = {id(p): TokenSequence(p.prompt.ids, (p.prompt.decision,), (), "probe") for p in found}
    owner = {id(sequences[id(p)]): p for p in found}
    out: dict[int, tuple[float, int]] = {}
    for group in micro_batches(list(sequences.values()), budget):
        ids = pad(group, fill).to(model.device)
        with fresh_rotation(model):
            run = model.model(input_ids=ids, use_cache=False, **first_positions(model.model, ids))
        hidden = run.last_hidden_state
        last = torch.tensor([len(s.ids) - 1 for s in group], device=hidden.device)
        logits = model.lm_head(hidden[torch.arange(len(group), device=hidden.device), last]).float()
        for sequence, row in zip(group, logits, strict=True):
            probe = owner[id(sequence)]
            margin = float(row[probe.action_ids[0]] - row[probe.action_ids[1]])
            out[id(probe)] = (margin, int(row.argmax()))
    return [out[id(p)] for p in found]


@torch.no_grad()
def chat_loss(model: Any, tokenizer: Any, chats: Sequence[TokenSequence], budget: int = 4096) -> float:
    """Mean cross-entropy of reply tokens, in nats per token.

    Args:
        model: the trained model.
        tokenizer: of the model.
        chats: encoded chats.
        budget: tokens per forward.
    """
    fill = int(tokenizer.eos_token_id or 0)
    total, count = 0.0, 0
    for group in micro_batches(list(chats), budget):
        losses, _ = supervised_losses(model, group, fill)
        total, count = total + float(losses.sum()), count + losses.numel()
    return total / count
