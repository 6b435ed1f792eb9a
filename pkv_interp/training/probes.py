"""Prompts that the gate adapter is judged on: families, wordings, updates and a layout never trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pkv_interp.prompts.errata import UPDATES
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Prompt
from pkv_interp.streams import stream
from pkv_interp.tasks import Case, Family, Instance, Scenarios, Style, Update, field_case
from pkv_interp.tasks.alignment import aligned_values
from pkv_interp.tasks.draws import draw
from pkv_interp.tasks.layouts import Layout
from pkv_interp.training import vocabulary

#: Fields that no rule reads: one of another kind, and one that is named like the family's.
FAR_FIELD, NEAR_FIELD = "desk lamp", "reserve {field}"
#: Wordings of updates about another field: those that make sense where the field was not given before.
ABOUT_OTHERS: tuple[str, ...] = ("tagged", "natural", "notice", "bare")
#: A layout of which the training has neither words nor signs nor the cue.
UNSEEN_LAYOUT = Layout(
    name="dossier",
    state="~~ Dossier ~~\n{bystander_1}\nWe hold this: {field} .... {value}\n{bystander_2}",
    rule="~~ Standing orders ~~\n{before}{rule}\n{after}",
    ask="{request} Your move, please: {menu}?",
    cue="Verdict:",
    order=("state", "rule", "ask"),
)


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
    """Prompts of every condition: by length, field late, a layout never trained on, and updates.

    Updates in each held-out wording change the value that decides (``update``), or change it and take the
    change back (``reverted``); those about another field, named like the family's (``near-update``) or not
    (``unrelated-update``), give the tempting value and must change nothing.

    Args:
        scenarios: all of their families are asked about.
        tokenizer: of the model.
        seed: of the draws.
        lengths: numbers of filler sentences.
        instances: per family and condition.
        layout: name of one of the scenarios' layouts, None for their first.
    """
    known = replace(scenarios, layouts=(*scenarios.layouts, UNSEEN_LAYOUT))
    asking = _Asking(tokenizer, seed, known, Style(layout=layout))
    found: list[Probe] = []
    for family in known.families:
        for index in range(instances):
            for n in lengths:
                found += asking.of_field(family, index, f"length-{n}", n_fillers=n)
            found += asking.of_field(family, index, "field-late", field_late=True)
            found += asking.of_field(family, index, "no-template", chat=False)
            for late in (False, True):
                name = f"layout-{UNSEEN_LAYOUT.name}{'-late' if late else ''}"
                found += asking.of_field(family, index, name, layout=UNSEEN_LAYOUT.name, field_late=late)
            found += _updated(family, index, asking)
    return found


def _updated(family: Family, index: int, asking: _Asking) -> Iterator[Probe]:
    """Prompts with update lines."""
    tokenizer, known = asking.tokenizer, asking.scenarios
    rng = stream(asking.seed, "gate evaluation", family.name, index)
    pairs = aligned_values(family, tokenizer)
    trigger, other = pairs[int(rng.integers(len(pairs)))]
    chosen = draw(family, rng, 2, known)
    rules = list(known.rules)
    rule = rules[index % len(rules)]
    instance = Instance(family, index, chosen, rule, asking.style, known)
    about = ABOUT_OTHERS[(index + known.position(family)) % len(ABOUT_OTHERS)]
    for match in (True, False):
        right, wrong = (trigger, other) if match else (other, trigger)
        near = NEAR_FIELD.format(field=family.field)
        conditions: dict[str, tuple[str, list[Update]]] = {
            **{f"update-{w}": (wrong, [Update(w, right)]) for w in UPDATES},
            **{f"reverted-{w}": (right, [Update(w, wrong), Update(w, right)]) for w in UPDATES},
            "unrelated-update": (right, [Update(about, wrong, FAR_FIELD)]),
            "near-update": (right, [Update(about, wrong, near)]),
        }
        for name, (value, updates) in conditions.items():
            turns = instance.messages(value=value, trigger=trigger, update=updates)
            prompt = instance.prompt(turns, tokenizer)
            ids = action_ids(prompt, chosen.actions, tokenizer)
            yield Probe(
                name,
                family.name,
                f"{family.name}-{index}-{chosen.record}-{'match' if match else 'mismatch'}",
                rule,
                match,
                prompt,
                ids if match else (ids[1], ids[0]),
            )
