"""Contexts of the editing experiment, and what is measured on one state of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pkv_interp.editing import Decision, EditableContext, State
from pkv_interp.measure.decision import kl_divergence
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import FAMILIES, Case, Family, Message, Style, families, field_case
from pkv_interp.tasks.edits import EditTask, edit_task, lookup_task
from pkv_interp.tasks.wordings import RULES

if TYPE_CHECKING:
    from experiments.editing import EditingSettings
    from experiments.keystone import KeystoneSettings

Chunk = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """An edit task at one prompt length, with the field at one place; ``index`` is its instance's number."""

    task: EditTask
    style: Style
    index: int

    @property
    def place(self) -> str:
        """``"late"`` where the field stands behind the rule, else ``"early"``."""
        return "late" if self.style.field_late else "early"

    @property
    def name(self) -> str:
        """Unique among the items of a run."""
        return f"{self.task.instance}/{self.style.n_fillers}-{self.place}"

    @property
    def actions(self) -> tuple[str, str]:
        """The action that the new value calls for, then the old one: a positive margin follows the edit."""
        return self.task.new_action, self.task.old_action


def chosen_families(settings: "EditingSettings | KeystoneSettings") -> list[Family]:
    """The families that were asked for, or all."""
    return families(settings.families or [family.name for family in FAMILIES])


def style_of(
    settings: "EditingSettings | KeystoneSettings", n_fillers: int, late: bool = False, reason: bool = False
) -> Style:
    """The experiment's prompt layout. A reason goes into a thinking block where the model has one."""
    thinking = True if reason and settings.model.thinking is not None else settings.model.thinking
    return Style(n_fillers, late, settings.chat, thinking, reason_first=reason)


def build_items(
    settings: "EditingSettings | KeystoneSettings",
    tokenizer: Any,
    styles: Sequence[Style],
    *,
    instances: int | None = None,
    planted: bool = False,
) -> list[Item]:
    """Edits of each family in both directions. Instances that rank positions come first and are left out."""
    return [
        Item(
            edit_task(
                family,
                settings.rank_instances + index,
                tokenizer,
                seed=settings.seed,
                matches=matches,
                style=style,
                wordings=wording_of(at, index),
                planted=planted,
            ),
            style,
            settings.rank_instances + index,
        )
        for style in styles
        for at, family in enumerate(chosen_families(settings))
        for index in range(settings.instances if instances is None else instances)
        for matches in (True, False)
    ]


def alternating(settings: "EditingSettings", items: Sequence[Item]) -> list[Item]:
    """One item of each family out of those of one style, its direction going to and fro over families."""
    block = 2 * settings.instances
    return [items[start + at % 2] for at, start in enumerate(range(0, len(items), block))]


def matching_case(settings: "EditingSettings | KeystoneSettings", item: Item, tokenizer: Any) -> Case:
    """The field pair of an item, whose anchors name its positions."""
    return field_case(
        families([item.task.family])[0],
        item.index,
        tokenizer,
        seed=settings.seed,
        style=item.style,
        wordings=(item.task.wording,),
    )


def looked_up(settings: "EditingSettings", item: Item, tokenizer: Any) -> Item:
    """The edit of the same family whose value is only read back."""
    family = families([item.task.family])[0]
    matches = item.task.matches
    return replace(item, task=lookup_task(family, item.index, tokenizer, seed=settings.seed, matches=matches))


def wording_of(family_at: int, index: int) -> tuple[str]:
    """One rule wording; they go round over families."""
    names = list(RULES)
    return (names[(family_at + index) % len(names)],)


def open_context(
    loaded: LoadedModel, item: Item, messages: Sequence[Message] | None = None, question: str | None = None
) -> EditableContext:
    """The item's prompt as an editable context that ends before the question."""
    return EditableContext(
        loaded.model,
        loaded.tokenizer,
        item.task.messages if messages is None else messages,
        item.task.question if question is None else question,
        item.style.cue,
        item.style.chat,
        item.style.thinking,
    )


def scored(decision: Decision, actions: Sequence[str], full: Decision | None = None) -> Chunk:
    """One decision: margin towards the first of ``actions``, its choice, and its distance from ``full``."""
    found: Chunk = {
        "margin": decision.margin,
        "right": decision.choice == actions[0],
        "is_action": decision.top[0][0].strip() in actions,
    }
    if full is not None:
        found["kl"] = float(kl_divergence(decision.logits, full.logits))
        found["margin_error"] = abs(decision.margin - full.margin)
    return found


def erratum(state: State, field: str, value: str, wording: str) -> State:
    """The state with an erratum behind it."""
    return state.edit(field, value, "erratum", wording=wording)
