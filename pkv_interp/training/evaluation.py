"""What the gate adapter can do: decisions on families, wordings and updates never seen, and chat loss."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from pkv_interp.cache.forward import first_positions, fresh_rotation
from pkv_interp.finite import finite_logits
from pkv_interp.models.unembedding import logits_of
from pkv_interp.prompts.errata import UPDATES
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Prompt
from pkv_interp.streams import stream
from pkv_interp.tasks import Case, Family, Instance, Scenarios, Style, Update, field_case
from pkv_interp.tasks.alignment import aligned_values
from pkv_interp.tasks.draws import draw
from pkv_interp.training import vocabulary
from pkv_interp.training.losses import micro_batches, supervised_losses
from pkv_interp.training.tokens import TokenSequence, pad

#: A field that is named like the family's and that no rule reads.
NEAR_FIELD = "reserve {field}"


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


def seen_in_training(scenarios: Scenarios) -> list[str]:
    """Names of the families whose field, values or actions the gate adapter was trained with."""
    fields, actions = set(vocabulary.FIELDS), set(vocabulary.ACTIONS)
    values = {value for pool in vocabulary.VALUES for value in pool}
    return [
        family.name
        for family in scenarios.families
        if family.field in fields or values & set(family.values) or actions & set(family.actions)
    ]


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


@dataclass(frozen=True)
class _Asking:
    """What all probes are made with."""

    tokenizer: Any
    seed: int
    scenarios: Scenarios
    style: Style

    def of_field(self, family: Family, index: int, condition: str, **style: Any) -> Iterator[Probe]:
        """Both sides of a field pair, in a style that differs from the plain one in some ways."""
        case = field_case(
            family,
            index,
            self.tokenizer,
            seed=self.seed,
            style=replace(self.style, **style),
            scenarios=self.scenarios,
        )
        yield from _both_sides(case, condition)


def probes(
    scenarios: Scenarios,
    tokenizer: Any,
    *,
    seed: int,
    lengths: Sequence[int],
    instances: int = 2,
    layout: str | None = None,
) -> list[Probe]:
    """Prompts of every condition: by length, field late, each held-out update wording, an unrelated update.

    Updates always change the value that decides; an unrelated one names another field and must change
    nothing.

    Args:
        scenarios: all of their families are asked about.
        tokenizer: of the model.
        seed: of the draws.
        lengths: numbers of filler sentences.
        instances: per family and condition.
        layout: name of one of the scenarios' layouts, None for their first.
    """
    asking = _Asking(tokenizer, seed, scenarios, Style(layout=layout))
    found: list[Probe] = []
    for family in scenarios.families:
        for index in range(instances):
            for n in lengths:
                found += asking.of_field(family, index, f"length-{n}", n_fillers=n)
            found += asking.of_field(family, index, "field-late", field_late=True)
            found += asking.of_field(family, index, "no-template", chat=False)
            for wording in UPDATES:
                found += _updated(family, index, asking, wording)
            found += _updated(family, index, asking, "tagged", about="desk lamp")
    return found


def _updated(
    family: Family, index: int, asking: _Asking, wording: str, about: str | None = None
) -> Iterator[Probe]:
    """Prompts with an update line; ``about`` names another field, so that the old value still holds."""
    tokenizer, scenarios = asking.tokenizer, asking.scenarios
    rng = stream(asking.seed, "gate evaluation", family.name, index)
    pairs = aligned_values(family, tokenizer)
    trigger, other = pairs[int(rng.integers(len(pairs)))]
    chosen = draw(family, rng, 2, scenarios)
    rules = list(scenarios.rules)
    rule = rules[index % len(rules)]
    instance = Instance(family, index, chosen, rule, asking.style, scenarios)
    for match in (True, False):
        new = trigger if match else other
        old = new if about else (other if match else trigger)
        line = other if about and match else trigger if about else new
        turns = instance.messages(value=old, trigger=trigger, update=Update(wording, line, about))
        prompt = instance.prompt(turns, tokenizer)
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
            ran = model.model(input_ids=ids, use_cache=False, **first_positions(model.model, ids))
        hidden = ran.last_hidden_state
        last = torch.tensor([len(s.ids) - 1 for s in group], device=hidden.device)
        logits = logits_of(model, hidden[torch.arange(len(group), device=hidden.device), last])
        finite_logits(logits)
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
