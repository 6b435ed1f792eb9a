"""One edit, under every pattern and by what is common today."""

from collections.abc import Callable
from dataclasses import dataclass

from pkv_interp.editing import State
from pkv_interp.measure.edit_decisions import edited
from pkv_interp.measure.edit_patterns import READ, Patterns
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.models.load import LoadedModel

#: Arms with another field refreshed, whose right action is the old one.
BYSTANDERS = ("bystander_isolated", "bystander_plain")
#: Arms of the text as it was, whose right action is the old one.
BEFORE = ("full_old", "full_isolated_old")
#: What is common today: the method, and the wording of its erratum.
BASELINES = {"tagged_erratum": "erratum", "hoist": "hoist", "recompute_32": "recompute@32"}


@dataclass(frozen=True)
class EditMargins:
    """One edit of one model; margins in logits, towards the action that is right there.

    Attributes:
        family, split, instance, wording: of the edit.
        old, new: the field's values.
        matches: the new one is the rule's trigger.
        place: of the field, ``early`` or ``late``.
        fillers: neutral sentences.
        length: tokens of the context.
        margins: by arm.
        tokens: run by the edit, by arm.
        apart: largest difference in logits between an edit that is exact and the prefill that it stands for;
            None in a long prompt, where no such prefill is run.
        values: read back, by arm whose decision does.
        top_token_right: on the plain prefill of the old and of the new text.
    """

    family: str
    split: str
    instance: str
    wording: str
    old: str
    new: str
    matches: bool
    place: str
    fillers: int
    length: int
    margins: dict[str, float]
    tokens: dict[str, int]
    apart: float | None
    values: dict[str, str]
    top_token_right: tuple[bool, bool]


def edit_margins(
    loaded: LoadedModel, scene: EditScene, links: int, order: Callable[[State], list[int]] | None = None
) -> EditMargins:
    """Every arm of a short edit.

    Args:
        loaded: the model.
        scene: the edit.
        links: link tokens after the rule in the isolated context.
        order: ranks the positions after the field, those first that recompute shall take; None: what is
            common today is not measured.
    """
    found, task = _Found(scene), scene.task
    made = Patterns.of(loaded, scene, links)
    base = made.plain.prefill()
    full = base.edit(task.field, task.new, "full_reprefill")
    found.add("full_old", base, old=True, read=True)
    found.add("full", full, read=True)
    found.add("field_only", base.edit(task.field, task.new, "field_only"), read=True)
    other = another_of_one_length(base, scene)
    if other is not None:
        found.add("bystander_plain", base.edit(*other, "field_only"), old=True)
    apart = [0.0]
    isolated = made.isolated.prefill()
    found.add("full_isolated_old", isolated, old=True, read=True)
    apart.append(found.exact(isolated, "field_only_isolated", "full_isolated"))
    if other is not None:
        found.add("bystander_isolated", isolated.edit(*other, "field_only"), old=True, read=True)
    if made.ruled is not None:
        apart.append(found.exact(made.ruled.prefill(), "rule_linked", "full_rule_linked"))
    if order is not None:
        ranking = order(base)
        for arm, method in BASELINES.items():
            found.add(arm, edited(base, scene, method, "tagged", ranking))
    top = (
        base.decide(scene.actions).likeliest_option == task.old_action,
        full.decide(scene.actions).likeliest_option == task.new_action,
    )
    return found.told(base.cache.length, max(apart), top)


def long_margins(loaded: LoadedModel, scene: EditScene, links: int) -> EditMargins:
    """The arms whose right action is the new one, in a long prompt; an exact edit stands for its prefill."""
    found, task = _Found(scene), scene.task
    made = Patterns.of(loaded, scene, links)
    base = made.plain.prefill()
    found.add("field_only", base.edit(task.field, task.new, "field_only"), read=True)
    full = base.edit(task.field, task.new, "suffix_recompute")
    found.add("full", full, read=True)
    isolated = made.isolated.prefill().edit(task.field, task.new, "field_only")
    found.add("field_only_isolated", isolated, read=True)
    if made.ruled is not None:
        found.add("rule_linked", made.ruled.prefill().edit(task.field, task.new, "field_only"))
    top = full.decide(scene.actions).likeliest_option == task.new_action
    return found.told(base.cache.length, None, (top, top))


class _Found:
    """Margins and tokens of one scene, as they are measured."""

    def __init__(self, scene: EditScene) -> None:
        self.scene = scene
        self.margins: dict[str, float] = {}
        self.tokens: dict[str, int] = {}
        self.values: dict[str, str] = {}

    def add(self, arm: str, state: State, *, old: bool = False, read: bool = False) -> None:
        """The decision of a state, towards the new action or the old one, at once and with the field read."""
        field = self.scene.task.field
        ways = {arm: state} | ({f"{READ}{arm}": state.reading_back(field)} if read else {})
        for name, way in ways.items():
            decided = way.decide(self.scene.actions)
            self.margins[name] = -decided.margin if old else decided.margin
            self.tokens[name] = state.cost.tokens
            if decided.value is not None:
                self.values[name] = decided.value

    def exact(self, base: State, arm: str, full_arm: str) -> float:
        """An edit that is exact, and its prefill; the largest difference of their logits."""
        task = self.scene.task
        edited = base.edit(task.field, task.new, "field_only")
        full = base.edit(task.field, task.new, "full_reprefill")
        self.add(arm, edited, read=arm == "field_only_isolated")
        self.add(full_arm, full)
        return float((edited.logits() - full.logits()).abs().max())

    def told(self, length: int, apart: float | None, top: tuple[bool, bool]) -> EditMargins:
        """All of it."""
        scene = self.scene
        return EditMargins(
            family=scene.family,
            split=scene.task.split,
            instance=scene.instance,
            wording=scene.task.wording,
            old=scene.task.old,
            new=scene.task.new,
            matches=scene.task.matches,
            place=scene.place,
            fillers=scene.style.n_fillers,
            length=length,
            margins=self.margins,
            tokens=self.tokens,
            apart=apart,
            values=self.values,
            top_token_right=top,
        )


def another_of_one_length(base: State, scene: EditScene) -> tuple[str, str] | None:
    """A field that no rule reads, and a value of its token length; None where no other value has it."""
    for name, (_, other) in scene.task.bystanders.items():
        layout = base.layout.with_value(base.context.renderer, name, other)
        if len(layout.ids) == len(base.ids) and layout.spans[name] == base.spans[name]:
            return name, other
    return None
