"""Prompts of the serving experiment: one change of one field, and what each arm sends after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from experiments.serving.settings import ERRATUM, FIELD_LAST, FULL, SPLICE, STALE, ServingSettings
from pkv_interp.composing import precompile, splice
from pkv_interp.editing import Decision, EditableContext, State
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_decisions import edited
from pkv_interp.measure.edit_ranking import most_attended, notes_of
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.prompts.blocks import block_span
from pkv_interp.prompts.rendering import on_new_line
from pkv_interp.serving import export
from pkv_interp.serving.client import Prompt

if TYPE_CHECKING:
    from pkv_interp.models.load import LoadedModel

#: What the server has read before the change, by arm: the prompt with the old value, the field early or late.
#: Arms that bring their columns with them need nothing.
WARM = {FULL: "early", ERRATUM: "early", STALE: "early", FIELD_LAST: "late"}


@dataclass(frozen=True)
class ServedScene:
    """A change of one field, with the field before the rule and with the field last.

    Attributes:
        early: the scene with the field before the rule.
        late: the same with the field after it.
        number: among the scenes of the run; also the slot for requests that bring a cache.
    """

    early: EditScene
    late: EditScene
    number: int

    @property
    def instance(self) -> str:
        """Unique among the scenes of a run."""
        return self.early.instance

    @property
    def action(self) -> str:
        """What is right once the field has changed."""
        return self.early.task.new_action


@dataclass(frozen=True, eq=False)
class Asked:
    """What an arm sends, and what the model says after it here.

    Attributes:
        prompt: the request.
        expected: log-probability of every first token, after the same columns; None where it is not known.
        columns: tokens of the cache that is handed in.
    """

    prompt: Prompt
    expected: Float[np.ndarray, " vocab"] | None
    columns: int = 0


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scene as it is served.

    Attributes:
        scene: the change.
        asks: by arm.
        warm: token ids that the server has read before the change, by the field's place.
        old, new: what the full prefill decides on either value, the right action first.
    """

    scene: ServedScene
    asks: Mapping[str, Asked]
    warm: Mapping[str, tuple[int, ...]]
    old: Decision
    new: Decision


def build_scenes(source: SceneSource, instances: int, n_fillers: int) -> list[ServedScene]:
    """One direction of each instance: of both, one's changed prompt would be the other's old one.

    Args:
        source: of the scenes.
        instances: of each family.
        n_fillers: neutral sentences in each.

    Raises:
        PkvError: a family's values do not align under the tokenizer.
    """
    both = [source.scenes(source.style(n_fillers, late), instances) for late in (False, True)]
    chosen = []
    for at in range(len(both[0]) // 2):
        family, index = divmod(at, instances)
        one = 2 * at + (family + index) % 2
        chosen.append(ServedScene(both[0][one], both[1][one], at))
    return chosen


def prompt_of(state: State, **named: Any) -> Prompt:
    """The whole prompt of a state: its context, and what is asked after it."""
    return Prompt((*state.ids, *state.context.renderer.after(state.suffix())), **named)


def written(context: EditableContext, scene: EditScene, value: str) -> tuple[int, ...]:
    """The whole prompt of a scene with a value of its field, as text alone: nothing is run for it.

    Args:
        context: of the scene.
        scene: whose messages they are.
        value: of the field.
    """
    messages = tuple(
        replace(
            message,
            segments=tuple(
                replace(one, text=value) if one.kind == "field" and one.name == scene.task.field else one
                for one in message.segments
            ),
        )
        for message in scene.task.messages
    )
    head = context.renderer.head(messages)
    asked = on_new_line(head.prompt.text, context.question)
    after = asked + context.renderer.tail(head, asked) + context.cue
    return (*head.prompt.ids, *context.renderer.after(after))


def log_probabilities(logits: Float[Tensor, " vocab"]) -> Float[np.ndarray, " vocab"]:
    """Of every token."""
    return torch.log_softmax(logits.double(), -1).cpu().numpy()


def spliced(loaded: LoadedModel, state: State) -> State:
    """The state with all that stands behind its session block spliced in.

    That was prefilled once behind the system text, with no session block, and is moved.

    Args:
        loaded: the model.
        state: recomputed whole, with the field before the rule.

    Raises:
        PkvError: nothing stands behind the block.
    """
    runner, ids = state.context.runner, state.ids
    start, stop = block_span(state.layout.head.prompt, "session")
    if stop >= len(ids):
        raise PkvError(
            "nothing stands behind the field", "choose a layout that has the field before the rule"
        )
    before = ids[:start]
    sink: Any = {"context": before, "sink": "prefix"} if before else {}
    chunk = precompile(runner, loaded.tokenizer, ids[stop:], **sink)
    cache = splice(runner, runner.prefill(ids[:stop]).cache, chunk)
    return replace(state, cache=cache, method=SPLICE, fresh=False)


@dataclass(frozen=True, eq=False)
class Preparer:
    """Makes what is served of scenes.

    Attributes:
        loaded: the model.
        source: of the scenes.
        settings: of the run.
        attention: by family and anchor, on ranking instances.
        folder: that caches are written to.
    """

    loaded: LoadedModel
    source: SceneSource
    settings: ServingSettings
    attention: Mapping[str, Mapping[str, float]]
    folder: Path

    def prepare(self, scene: ServedScene) -> Prepared:
        """Run the model once for every arm, and write the caches that are handed in."""
        task = scene.early.task
        context, late = open_context(self.loaded, scene.early), open_context(self.loaded, scene.late)
        old, old_late = context.prefill(), late.prefill()
        new = context.edit(task.field, task.new, "full_reprefill")
        states = {
            FULL: new,
            ERRATUM: old.edit(task.field, task.new, "erratum", wording=self.settings.erratum),
            # The field's own tokens and what stands behind them: exact, and few where the field is last.
            FIELD_LAST: old_late.edit(task.field, task.new, "suffix_recompute"),
            STALE: old,
        }
        asks = {arm: _asked(state, prompt_of(state)) for arm, state in states.items()}
        ranking = self.ranking(scene, old)
        for arm in self.settings.arms[len(asks) :]:
            state = spliced(self.loaded, new) if arm == SPLICE else self.edit(scene, arm, old, ranking)
            path = write(self.loaded, state, self.folder)
            asked = _asked(state, prompt_of(state, cache=path.stem, slot=scene.number))
            asks[arm] = replace(asked, columns=len(state.ids))
        decided = [
            state.decide((right, other))
            for state, right, other in (
                (old, task.old_action, task.new_action),
                (new, task.new_action, task.old_action),
            )
        ]
        warm = {"early": prompt_of(old).ids, "late": prompt_of(old_late).ids}
        return Prepared(scene, asks, warm, *decided)

    def ranking(self, scene: ServedScene, old: State) -> list[int]:
        """Positions after the field, those first that a method with an amount shall take."""
        if scene.early.family not in self.attention:
            return list(notes_of(old, scene.early))
        case = self.source.matching_case(scene.early)
        return most_attended(old, scene.early, case, self.attention[scene.early.family])

    def edit(self, scene: ServedScene, method: str, old: State, ranking: list[int]) -> State:
        """The state after the change, by an editing method.

        Args:
            scene: the change.
            method: its name.
            old: before it.
            ranking: of positions after the field.
        """
        return edited(old, scene.early, method, self.settings.erratum, ranking)


def write(loaded: LoadedModel, state: State, folder: Path) -> Path:
    """Write a state's columns for an engine."""
    named = {"runner": state.context.runner, "tokenizer": loaded.tokenizer, "ids": state.ids}
    return export(state.cache, folder, **named)


def _asked(state: State, prompt: Prompt) -> Asked:
    return Asked(prompt, log_probabilities(state.logits()))
