"""A policy that was prefilled alone and spliced in, against prefills of the whole, plain and blind."""

from dataclasses import dataclass, replace

from pkv_interp.cache import AttentionLayout
from pkv_interp.composing import precompile, splice
from pkv_interp.measure.edit_patterns import LINKS, context_of, with_links
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
        read_full, read_splice_blind: of the first and the last, with the field read back before the decision.
        apart: largest difference in logits between the two blind ones.
    """

    family: str
    split: str
    instance: str
    wording: str
    place: str
    full: float
    full_blind: float
    splice_blind: float
    read_full: float
    read_splice_blind: float
    apart: float


def splice_margins(loaded: LoadedModel, scene: EditScene, links: int = 0) -> SpliceMargins:
    """The three of one prompt, with the field's old value.

    Args:
        loaded: the model.
        scene: whose prompt it is.
        links: link tokens after a policy that stands after the field; the plain prompt has none.
    """
    plain = context_of(loaded, scene, scene.task.messages)
    state, context = plain.prefill(), plain
    linked = links if scene.place == "early" else 0
    if linked:
        context = context_of(loaded, scene, with_links(scene.task.messages, linked, after_policy=True))
    base = context.prefill()
    runner, ids, prompt = context.runner, base.ids, base.layout.head.prompt
    start, stop = block_span(plain.prefill().layout.head.prompt, "policy")
    spans: tuple[tuple[int, int], ...] = ()
    if linked:
        spans = (prompt.spans[LINKS],)
        stop = spans[0][0]
    layout = AttentionLayout(len(ids), links=spans, blind=((start, stop),))
    chunk = precompile(runner, loaded.tokenizer, ids[start:stop], blind=True)
    spliced = splice(runner, runner.prefill(ids[:start]).cache, chunk)
    spliced = replace(spliced, layout=layout)  # of the whole prompt: the links after the chunk are in it
    if stop < len(ids):
        spliced = runner.extend(spliced, ids[stop:]).cache
    blind = runner.prefill(ids, layout).cache
    whole, moved = (replace(base, cache=cache, fresh=False) for cache in (blind, spliced))
    field = scene.task.field
    ways = (state, whole, moved, state.reading_back(field), moved.reading_back(field))
    margins = [-one.decide(scene.actions).margin for one in ways]
    return SpliceMargins(
        family=scene.family,
        split=scene.task.split,
        instance=scene.instance,
        wording=scene.task.wording,
        place=scene.place,
        full=margins[0],
        full_blind=margins[1],
        splice_blind=margins[2],
        read_full=margins[3],
        read_splice_blind=margins[4],
        apart=float((whole.logits() - moved.logits()).abs().max()),
    )
