"""One edit at the level of the prompt: four texts read whole, and what each decides."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from pkv_interp.editing import Decision, State
from pkv_interp.editing.decision import option_ids, read_decision
from pkv_interp.measure.edit_scenes import EditScene, open_context
from pkv_interp.models.readable import Readable

#: The arms that bring the new value; the stale one says nothing of it.
EDITED = ("full", "erratum", "hoisted")
ARMS = ("stale", *EDITED)


@dataclass(frozen=True)
class Arm:
    """What one text decides.

    Attributes:
        margin: of the action that the new value calls for over the old one, in logits.
        top: the likeliest token of all begins the action that the margin is towards.
    """

    margin: float
    top: bool


@dataclass(frozen=True)
class SceneArms:
    """One edit.

    Attributes:
        family, split, instance, wording: of the edit's task.
        matches: the new value is the rule's trigger.
        arms: by name, of ``ARMS``.
        appended: largest difference of logits between a line appended to what was kept of the old prompt, and
            the same text read whole.
    """

    family: str
    split: str
    instance: str
    wording: str
    matches: bool
    arms: Mapping[str, Arm]
    appended: float

    @property
    def discriminates(self) -> bool:
        """Whether the value decides as it should: full picks the new action, stale the old one."""
        return self.arms["full"].margin > 0 > self.arms["stale"].margin


@dataclass(frozen=True, eq=False)
class _Read:
    decision: Decision
    difference: float


def read_arms(loaded: Readable, scene: EditScene, erratum: str) -> SceneArms:
    """Read the four texts of an edit.

    Args:
        loaded: the model, of any architecture.
        scene: the edit.
        erratum: wording of the line about the new value.
    """
    task, context = scene.task, open_context(loaded, scene)
    base = context.prefill()
    states = {
        "stale": base,
        "full": base.edit(task.field, task.new, "full_reprefill"),
        "erratum": base.edit(task.field, task.new, "erratum", wording=erratum),
        "hoisted": base.edit(task.field, task.new, "hoist"),
    }
    found = {name: _read_whole(state, scene) for name, state in states.items()}
    arms = {}
    for name, read in found.items():
        margin = read.decision.margin
        towards = scene.actions[0] if margin > 0 else scene.actions[1]
        arms[name] = Arm(margin, read.decision.likeliest_option == towards)
    appended = max(found[name].difference for name in ("erratum", "hoisted"))
    return SceneArms(task.family, task.split, scene.instance, task.wording, task.matches, arms, appended)


def _read_whole(state: State, scene: EditScene) -> _Read:
    """The decision after one forward over the whole text, and how far the state's own logits are from it."""
    renderer, runner, suffix = state.context.renderer, state.context.runner, state.suffix()
    logits = runner.prefill([*state.ids, *renderer.after(suffix)]).logits
    ids = option_ids(renderer, suffix, scene.actions)
    decision = read_decision(renderer, logits, scene.actions, ids)
    return _Read(decision, float(torch.max((state.logits() - logits).abs())))
