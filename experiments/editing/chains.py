"""Chains of thought over an edited cache."""

from dataclasses import dataclass

from experiments.editing.settings import EditingSettings
from pkv_interp.measure.edit_decisions import EditDecision, scored
from pkv_interp.measure.edit_scenes import EditScene, open_context
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks.cases import CUE

#: Close the chain before the cue, after a reason in plain text and after a thinking block.
SCAFFOLD, THINK_SCAFFOLD = "\n", "\n</think>\n\n"
METHODS = ("stale", "field_only", "full_reprefill")


@dataclass(frozen=True)
class Reasoned:
    """One cache state, decided from at once and after a chain of thought.

    Attributes:
        plain: the decision without a chain.
        chain: the decision after one.
        tokens: of the chain, which is what the recomputation costs when it is moved into the chain.
        truncated: it was cut at the limit.
        text: of the chain.
    """

    plain: EditDecision
    chain: EditDecision
    tokens: int
    truncated: bool
    text: str


@dataclass(frozen=True)
class Chains:
    """One edit, by the method that made the cache."""

    methods: dict[str, Reasoned]


def think(loaded: LoadedModel, scene: EditScene, settings: EditingSettings) -> Chains:
    """Decide without a chain, then write one greedily and decide after it, from three cache states."""
    task = scene.task
    context = open_context(loaded, scene)
    asked = task.question.replace("Answer", "Give your reason in a sentence, then answer", 1)
    # A thinking block may begin with a line break; it ends where it is closed.
    scaffold, ends = (THINK_SCAFFOLD, "</think>") if scene.style.thinking else (SCAFFOLD, "\n")
    answer = CUE if task.cue is None else task.cue
    found = {}
    for method in METHODS:
        state = context.edit(task.field, task.new, method)
        plain = state.decide(scene.actions, cue=answer)
        written = state.generate(settings.cot_tokens, question=asked, cue=scene.style.cue, stop=ends)
        cue = f"{scene.style.cue}{written.text}{scaffold}{answer}"
        after = state.decide(scene.actions, question=asked, cue=cue)
        found[method] = Reasoned(
            plain=scored(plain, scene.actions),
            chain=scored(after, scene.actions),
            tokens=len(written.ids),
            truncated=not written.stopped,
            text=written.text,
        )
    return Chains(found)
