"""Pairs that everything is measured on, and the arrangements of weights that are compared."""

from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any

from experiments.origin.settings import OriginSettings
from pkv_interp.tasks import Case, Style, field_case, polarity_case

#: Pairs by what differs in them; the last two in prompts that have the field after the rule.
LATE = "field_late"
TRIGGER_LATE = "trigger_late"
PAIRS: tuple[str, ...] = ("field", "trigger", LATE, TRIGGER_LATE)


@dataclass(frozen=True)
class Cases:
    """Pairs of families that no training here saw.

    Attributes:
        field: the field flips, the rule stays.
        trigger: the rule's trigger flips, the field stays.
        field_late: as ``field``, with the field after the rule; none where the layout has it there anyway or
            cannot have it there, and in measurements of before.
        trigger_late: as ``trigger``, with the field after the rule: the field's own tokens are among what
            comes later, and say the same in both prompts. None where ``field_late`` has none.
    """

    field: list[Case]
    trigger: list[Case]
    field_late: list[Case] = dataclass_field(default_factory=list)
    trigger_late: list[Case] = dataclass_field(default_factory=list)

    @property
    def ends(self) -> list[Case]:
        """The first and the last of both sides."""
        return [self.field[0], self.field[-1], self.trigger[0], self.trigger[-1]]

    def of(self, changed: str) -> list[Case]:
        """The pairs of one of `PAIRS`."""
        return dict(zip(PAIRS, (self.field, self.trigger, self.field_late, self.trigger_late), strict=True))[
            changed
        ]


@dataclass(frozen=True)
class Arrangement:
    """Which weights run which part of a prompt.

    Attributes:
        role: ``crossover``, or the part in which a LoRA was trained: ``reader``, ``writer``, ``both``.
        writer: weights of the prefill: ``bare``, ``gate`` (the model as its catalogue entry has it), or
            ``trained`` (the bare model with the LoRA of this arrangement).
        reader: weights of the decision token.
        curriculum: place of the field in training; None without training.
        seed: of the LoRA's initial values and of the order of examples; None without training.
    """

    role: str
    writer: str
    reader: str
    curriculum: str | None = None
    seed: int | None = None

    @property
    def pairs(self) -> tuple[str, ...]:
        """What it is measured on: a training with the field early alone is not judged on the other place."""
        return PAIRS[:2] if self.curriculum == "early" else PAIRS

    @property
    def name(self) -> str:
        """Its name in stages and rows."""
        if self.curriculum is None:
            return f"{self.writer}-{self.reader}"
        return f"{self.role}-{self.curriculum}-{self.seed}"


#: Weights of prefill and decision token by the part that is trained.
_PARTS = {"reader": ("bare", "trained"), "writer": ("trained", "bare"), "both": ("trained", "trained")}


def arrangements(settings: OriginSettings) -> list[Arrangement]:
    """All that are compared: crossovers first, then readers, writers and both, by curriculum and seed."""
    weights = ("bare",) if settings.model.adapter is None else ("bare", "gate")
    found = [Arrangement("crossover", writer, reader) for writer in weights for reader in weights]
    trained = (
        ("reader", settings.curricula, settings.reader_seeds),
        ("writer", settings.prefill_curricula, settings.writer_seeds),
        ("both", settings.prefill_curricula, settings.both_seeds),
    )
    for role, curricula, seeds in trained:
        found += [
            Arrangement(role, *_PARTS[role], curriculum, seed)
            for curriculum in curricula
            for seed in range(seeds)
        ]
    return found


def build_cases(settings: OriginSettings, tokenizer: Any) -> Cases:
    """One pair of each of `PAIRS` per family and instance.

    Raises:
        PkvError: prompts do not align under this tokenizer.
    """
    world = settings.checked_world(tokenizer)
    style = Style(
        n_fillers=settings.n_fillers,
        chat=settings.chat,
        thinking=settings.model.thinking,
        layout=settings.layout,
    )
    late = replace(style, field_late=True)
    field, trigger, field_late, trigger_late = (
        [
            make(family, index, tokenizer, seed=settings.seed, style=placed, scenarios=world)
            for family in settings.chosen(settings.families)
            for index in range(settings.instances)
        ]
        for make, placed in (
            (field_case, style),
            (polarity_case, style),
            (field_case, late),
            (polarity_case, late),
        )
    )
    layout = settings.laid_out
    if not layout.swaps or layout.field_late:
        return Cases(field, trigger)
    return Cases(field, trigger, field_late, trigger_late)
