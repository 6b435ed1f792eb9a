"""A policy that was prefilled alone and spliced in, against prefills of the whole, plain and blind."""

from dataclasses import dataclass, replace

from pkv_interp.cache import AttentionLayout
from pkv_interp.composing import precompile, splice
from pkv_interp.measure.edit_patterns import Patterns
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.blocks import block_span


@dataclass(frozen=True)
class SpliceMargins:
    """One prompt whose policy is moved; margins in logits, towards the action that is right.

    Attributes:
        family, split, instance, wording, place: of the prompt; ``early``: the field stands before the policy.
        full: of the plain prefill.
        full_blind: of a prefill in which the policy's tokens see each other alone.
        splice_blind: with the policy prefilled alone, turned and put in.
        apart: largest difference in logits between the last two.
    """

    family: str
    split: str
    instance: str
    wording: str
    place: str
    full: float
    full_blind: float
    splice_blind: float
    apart: float


def splice_margins(loaded: LoadedModel, scene: EditScene) -> SpliceMargins:
    """The three of one prompt, with the field's old value.

    Args:
        loaded: the model.
        scene: whose prompt it is.
    """
    state = Patterns.of(loaded, scene).plain.prefill()
    runner, ids = state.context.runner, state.ids
    start, stop = block_span(state.layout.head.prompt, "policy")
    chunk = precompile(runner, loaded.tokenizer, ids[start:stop], blind=True)
    spliced = splice(runner, runner.prefill(ids[:start]).cache, chunk)
    if stop < len(ids):
        spliced = runner.extend(spliced, ids[stop:]).cache
    blind = runner.prefill(ids, AttentionLayout(stop, blind=((start, stop),))).cache
    states = [state, *(replace(state, cache=cache, fresh=False) for cache in (blind, spliced))]
    plain, whole, moved = (-one.decide(scene.actions).margin for one in states)
    return SpliceMargins(
        family=scene.family,
        split=scene.task.split,
        instance=scene.instance,
        wording=scene.task.wording,
        place=scene.place,
        full=plain,
        full_blind=whole,
        splice_blind=moved,
        apart=float((states[1].logits() - states[2].logits()).abs().max()),
    )
