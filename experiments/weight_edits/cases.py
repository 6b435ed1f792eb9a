"""Records to edit into the weights, and unrelated decisions that must stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.weight_edits.settings import WeightEditsSettings
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.competence import Decision
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import Family, Recipe, Scenarios, Style
from pkv_interp.weight_editing.decisions import Choice, margins
from pkv_interp.weight_editing.facts import Fact
from pkv_interp.weight_editing.mutable import RecordEdit, RecordPrompt, record_edit

#: Draws of a family that are tried until the model decides both values rightly.
_TRIES = 3
#: Instances that choose layers count from here, so that none of them is scored.
_RANKED = 100


@dataclass(frozen=True)
class RecordName:
    """Which record it is."""

    family: str
    instance: str


@dataclass(frozen=True)
class DrawnRecord:
    """A record to edit.

    Attributes:
        edit: its prompts and the change.
        decided: the model is right on both values, and on the old one with the rule in other words.
    """

    edit: RecordEdit
    decided: bool

    @property
    def instance(self) -> str:
        """Name of the record."""
        return self.edit.instance

    @property
    def name(self) -> RecordName:
        """Which record it is."""
        return RecordName(self.edit.family, self.edit.instance)


@dataclass(frozen=True)
class DrawnRecords:
    """One record per family."""

    records: list[DrawnRecord]


@dataclass(frozen=True)
class Battery:
    """Unrelated two-way decisions: of other families, and of facts the model knows.

    Attributes:
        choices: prompts with the two tokens that each chooses between.
        families: of each choice; facts have none.
        before: margins with the weights untouched, in logits.
    """

    choices: tuple[Choice, ...]
    families: tuple[str, ...]
    before: tuple[float, ...]

    def without(self, family: str) -> "Battery":
        """The decisions that are not of ``family``."""
        kept = [i for i, name in enumerate(self.families) if name != family]
        return Battery(
            tuple(self.choices[i] for i in kept),
            tuple(self.families[i] for i in kept),
            tuple(self.before[i] for i in kept),
        )


@dataclass(frozen=True)
class FirstDraws:
    """Decisions on both values of records of every family, whatever the model makes of them."""

    decisions: list[Decision]


@dataclass(frozen=True, eq=False)
class RecordSource:
    """What records are drawn from.

    Attributes:
        families: in order.
        scenarios: that they are of.
        runner: decides.
        tokenizer: of the model.
        seed: of the draws.
        style: of the prompts.
        n_others: records of the same family that must not change.
    """

    families: tuple[Family, ...]
    scenarios: Scenarios
    runner: Runner
    tokenizer: Any
    seed: int
    style: Style
    n_others: int

    @classmethod
    def of(cls, settings: WeightEditsSettings, loaded: LoadedModel) -> "RecordSource":
        """The source that these settings ask for."""
        style = Style(
            n_fillers=0, chat=settings.chat, thinking=settings.model.thinking, layout=settings.layout
        )
        return cls(
            tuple(settings.chosen(settings.families)),
            settings.world,
            Runner.of(loaded.model),
            loaded.tokenizer,
            settings.seed,
            style,
            settings.others,
        )

    @property
    def ranking_families(self) -> tuple[Family, ...]:
        """Discovery families, which choose layers; all where there is none."""
        return tuple(family for family in self.families if family.split == "discovery") or self.families

    @property
    def scored_families(self) -> tuple[Family, ...]:
        """Held-out families, which are scored; all where there is none."""
        return tuple(family for family in self.families if family.split == "held_out") or self.families

    def draw(self, chosen: Sequence[Family], *, ranking: bool = False) -> DrawnRecords:
        """One record per family; directions alternate over families.

        A record that the model cannot decide stands in only where a family has no other among a few draws.

        Args:
            chosen: families.
            ranking: take instances that choose layers and are not scored.
        """
        picked = []
        for at, family in enumerate(chosen):
            found: list[DrawnRecord] = []
            for attempt in range(_TRIES):
                index = (_RANKED if ranking else 0) + 2 * attempt + at % 2
                edit = self._edit(family, index, self.n_others)
                asked = [edit.mine.choice, edit.rephrased.choice, edit.renewed.choice]
                old, rephrased, new = margins(self.runner, asked) * edit.wanted
                found.append(DrawnRecord(edit, bool(max(old, rephrased) < 0.0 < new)))
                if found[-1].decided:
                    break
            picked.append(next((one for one in found if one.decided), found[0]))
        return DrawnRecords(picked)

    def first_draws(self, n: int) -> FirstDraws:
        """What the model decides on the first ``n`` records of each family, for the competence gate.

        Records that are edited were chosen among draws because the model is right on them: their accuracy
        says nothing.
        """
        decided = []
        for at, family in enumerate(self.families):
            for index in range(n):
                edit = self._edit(family, index + at % 2, 0)
                decided += [
                    self._decide(edit, edit.mine, match=edit.wanted < 0.0),
                    self._decide(edit, edit.renewed, match=edit.wanted > 0.0),
                ]
        return FirstDraws(decided)

    def _edit(self, family: Family, index: int, n_others: int) -> RecordEdit:
        recipe = Recipe(self.seed, self.style, scenarios=self.scenarios)
        return record_edit(family, index, self.tokenizer, recipe=recipe, n_others=n_others)

    def _decide(self, edit: RecordEdit, prompt: RecordPrompt, *, match: bool) -> Decision:
        first, second = prompt.choice.options
        logits = self.runner.prefill(prompt.choice.ids).logits
        margin = float(logits[first] - logits[second]) * (1.0 if match else -1.0)
        top = int(logits.argmax()) == (first if match else second)
        return Decision(edit.family, edit.instance, match, margin, margin > 0.0, top)

    def battery(self, facts: Sequence[Fact], n_decisions: int) -> Battery:
        """Decisions of discovery families, both values in turn, and the facts with one wrong object each.

        Scenarios without a discovery family give decisions of all: those of an edited family do not count.

        Args:
            facts: that the model knows.
            n_decisions: families at most.
        """
        choices: list[Choice] = []
        names: list[str] = []
        unrelated = self.scenarios.split("discovery") or self.scenarios.families
        for at, family in enumerate(unrelated[:n_decisions]):
            edit = self._edit(family, 2 * _RANKED + at, 0)
            choices.append((edit.mine if at % 2 else edit.renewed).choice)
            names.append(family.name)
        for fact in facts:
            right = fact.relation.ask(self.tokenizer, fact.subject, fact.old)
            choices.append(Choice(right.ids, (right.target, fact.asked(self.tokenizer).target)))
            names.append("")
        before = tuple(float(margin) for margin in margins(self.runner, choices))
        return Battery(tuple(choices), tuple(names), before)
