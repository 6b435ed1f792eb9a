"""Time to the first token with chunks that were prefilled ahead, against prefills of the same tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.cache import AttentionLayout
from pkv_interp.cache.computed import Computed
from pkv_interp.composing import Chunk, precompile, splice
from pkv_interp.measure.edit_patterns import context_of
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.measure.timing import seconds
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.blocks import block_span


@dataclass(frozen=True)
class JoinCost:
    """One prompt of several chunks; times in seconds, to the logits of its first token.

    Attributes:
        chunks: how many.
        length: tokens of the prompt.
        run: of these, tokens that no chunk holds.
        spliced: chunks put in, everything else run.
        blind: a prefill under the same pattern.
        plain: a prefill without one, which says something else.
        apart: largest difference in logits between the first two.
    """

    chunks: int
    length: int
    run: int
    spliced: float
    blind: float
    plain: float
    apart: float


@dataclass(frozen=True)
class Joins:
    """One conversation with more and more policies in it."""

    family: str
    counts: list[JoinCost]


def join_costs(
    loaded: LoadedModel, scene: EditScene, policies: Sequence[EditScene], counts: Sequence[int]
) -> Joins:
    """Put policies into a conversation. Each way is run once before it is timed.

    Args:
        loaded: the model.
        scene: whose conversation it is; no policy stands in it but those that are put in.
        policies: scenes whose policies are put in, in order, taken again where there are too few.
        counts: how many, for each prompt.
    """
    context = context_of(loaded, scene, scene.task.messages)
    base, runner = context.prefill(), context.runner
    start, stop = block_span(base.layout.head.prompt, "policy")
    head, tail = base.ids[:start], (*base.ids[stop:], *context.renderer.after(base.suffix()))
    made = [_policy(loaded, one) for one in policies[: max(counts)]]

    def joined(count: int) -> JoinCost:
        chunks = [made[at % len(made)] for at in range(count)]
        spans, end = list[tuple[int, int]](), len(head)
        for chunk in chunks:
            spans.append((end, end + chunk.length))
            end = spans[-1][1]
        ids = (*head, *(token for chunk in chunks for token in chunk.ids), *tail)
        layout = AttentionLayout(len(ids), blind=tuple(spans))

        def spliced() -> Computed:
            before = runner.prefill(head).cache if head else made[0].cache.slice(0, 0)
            return runner.extend(splice(runner, before, *chunks), tail)

        ways = (spliced, lambda: runner.prefill(ids, layout), lambda: runner.prefill(ids))
        for way in ways:
            way()
        (moved, first), (blind, whole), (plain, _) = (seconds(way, loaded.device) for way in ways)
        apart = float((first.logits - whole.logits).abs().max())
        return JoinCost(count, len(ids), len(head) + len(tail), moved, blind, plain, apart)

    return Joins(scene.family, [joined(count) for count in counts])


def _policy(loaded: LoadedModel, scene: EditScene) -> Chunk:
    context = context_of(loaded, scene, scene.task.messages)
    base = context.prefill()
    start, stop = block_span(base.layout.head.prompt, "policy")
    return precompile(context.runner, loaded.tokenizer, base.ids[start:stop], blind=True)
