"""One update of one value, from the change to the first token, by the length of the prompt and the method."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from experiments.serving.cases import (
    WARM,
    Asked,
    Preparer,
    ServedScene,
    build_scenes,
    log_probabilities,
    prompt_of,
    write,
    written,
)
from experiments.serving.rig import Rig
from experiments.serving.scored import error_of, is_right
from experiments.serving.settings import ERRATUM, FIELD_LAST, FULL, SPLICE
from pkv_interp.composing import Chunk, precompile, splice
from pkv_interp.editing import EditableContext, State
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import open_context
from pkv_interp.prompts.blocks import block_span
from pkv_interp.serving.client import Client, Prompt, Reply

#: Fillers from which the length of one is read.
_SOME = 8
#: Tokens that come after a context: an erratum, the question, what the template puts there, and the cue.
AFTER = 192
#: Slot that all of it happens in.
_SLOT = 0


@dataclass(frozen=True)
class LengthCase:
    """Prompts of a length.

    Attributes:
        length: most tokens of the context.
        repeat: number of the prompt; each is of another family.
    """

    length: int
    repeat: int

    @property
    def instance(self) -> str:
        """Its name."""
        return f"{self.length}/{self.repeat}"


@dataclass(frozen=True)
class Update:
    """One value updated by one method.

    Attributes:
        edit_ms: editing the cache here and writing it for the engine; 0 where the engine does all.
        first_ms: from sending the request to its first token.
        computed: tokens that the engine ran.
        cached: tokens that it did not.
        right: the answer is right.
        error: largest difference of a log-probability from the model's own; None where it was not computed.
        failed: why there is no answer, or "".
    """

    edit_ms: float
    first_ms: float
    computed: int
    cached: int
    right: bool
    error: float | None
    failed: str


@dataclass(frozen=True)
class Updates:
    """Every method on one prompt of ``tokens`` tokens of one family."""

    family: str
    tokens: int
    methods: dict[str, Update]


def update_at(preparer: Preparer, rig: Rig, case: LengthCase) -> Updates:
    """Update one value in a prompt of a length by every method, each from the same state.

    Args:
        preparer: of scenes.
        rig: a server that holds one prompt of that length.
        case: the length.

    Raises:
        PkvError: no prompt is as short, or the server gives no answer.
    """
    scene = scene_within(preparer, case)
    context, late = (open_context(preparer.loaded, one) for one in (scene.early, scene.late))
    old = context.prefill()
    task = scene.early.task
    told = old.edit(task.field, task.new, "erratum", wording=preparer.settings.erratum)
    chunk_of = _chunk(preparer, context, scene)
    warm = {"early": written(context, scene.early, task.old), "late": written(late, scene.late, task.old)}
    plain = {
        FULL: Asked(Prompt(written(context, scene.early, task.new)), None),
        ERRATUM: Asked(prompt_of(told), log_probabilities(told.logits())),
        FIELD_LAST: Asked(Prompt(written(late, scene.late, task.new)), None),
    }
    ranking = preparer.ranking(scene, old)  # learned before the change
    made: dict[str, Callable[[], State]] = {
        arm: (lambda arm=arm: preparer.edit(scene, arm, old, ranking)) for arm in preparer.settings.injected
    }
    made[SPLICE] = lambda: _spliced(context, old, scene, chunk_of)
    made = made if SPLICE in preparer.settings.arms else {}

    async def run() -> dict[str, Update]:
        out: dict[str, Update] = {}
        async with rig.client() as client:
            for arm, asked in plain.items():
                out[arm] = await _plain(client, rig, asked, warm[WARM[arm]], f"{case.instance}/{arm}", scene)
            for arm, make in made.items():
                out[arm] = await _injected(client, rig, preparer, make, arm, scene)
        return out

    return Updates(scene.early.family, len(old.ids), asyncio.run(run()))


async def _plain(
    client: Client, rig: Rig, asked: Asked, warm: tuple[int, ...], name: str, scene: ServedScene
) -> Update:
    salt = f"latency {name}"
    await rig.read(client, warm, _SLOT, salt)
    reply = await client.complete(rig.request(asked, salt))
    return _update(reply, asked, 0.0, scene)


async def _injected(
    client: Client, rig: Rig, preparer: Preparer, make: Callable[[], State], arm: str, scene: ServedScene
) -> Update:
    began = time.perf_counter()
    state = make()
    path = write(preparer.loaded, state, rig.caches)
    spent = time.perf_counter() - began
    asked = Asked(
        prompt_of(state, cache=path.stem, slot=_SLOT), log_probabilities(state.logits()), len(state.ids)
    )
    reply = await client.complete(rig.request(asked, f"latency {arm}"))
    path.unlink()
    return _update(reply, asked, 1000 * spent, scene)


def _update(reply: Reply, asked: Asked, spent: float, scene: ServedScene) -> Update:
    failed = reply.failed or reply.in_full
    error = None if asked.expected is None or failed else error_of(reply.top, asked.expected)
    right = not reply.failed and is_right(reply.said, scene.action)
    return Update(spent, 1000 * reply.first, reply.computed, reply.cached, right, error, failed)


def lengths_within(lengths: Sequence[int], most: int) -> list[int]:
    """Lengths that a model's positions allow, with room for what comes after the context.

    Args:
        lengths: that were asked for.
        most: positions of the model.
    """
    return [length for length in lengths if length + AFTER <= most]


def scene_within(preparer: Preparer, case: LengthCase) -> ServedScene:
    """The longest prompt of at most the length.

    Args:
        preparer: of scenes.
        case: the length.

    Raises:
        PkvError: no prompt is as short.
    """
    families = preparer.source.families
    source = replace(preparer.source, families=(families[case.repeat % len(families)],))

    def scene_of(n_fillers: int) -> ServedScene:
        return replace(build_scenes(source, 1, n_fillers)[0], number=_SLOT)

    def tokens_of(n_fillers: int) -> int:
        return open_context(preparer.loaded, scene_of(n_fillers).early).n_tokens

    first = tokens_of(0)
    if first > case.length:
        raise PkvError(f"no prompt has as few as {case.length} tokens", f"use lengths from {first} on")
    each = max(1.0, (tokens_of(_SOME) - first) / _SOME)
    found = int((case.length - first) / each)
    while (over := tokens_of(found) - case.length) > 0:
        found -= max(1, int(over / each))
    return scene_of(found)


def _chunk(preparer: Preparer, context: EditableContext, scene: ServedScene) -> Chunk | None:
    """What stands behind the field, prefilled once: it does not count, as it is there before the change."""
    if SPLICE not in preparer.settings.arms:
        return None
    prompt = context.renderer.head(scene.early.task.messages).prompt
    start, stop = block_span(prompt, "session")
    ids = tuple(prompt.ids)
    before = ids[:start]
    if not before:
        return precompile(context.runner, preparer.loaded.tokenizer, ids[stop:])
    return precompile(context.runner, preparer.loaded.tokenizer, ids[stop:], context=before, sink="prefix")


def _spliced(context: EditableContext, old: State, scene: ServedScene, chunk: Chunk | None) -> State:
    """The changed session block run after what stands before it, and the chunk behind it."""
    assert chunk is not None
    task = scene.early.task
    # The ids of the changed text, for which the cheapest edit is asked.
    changed = old.edit(task.field, task.new, "field_only")
    kept = block_span(old.layout.head.prompt, "session")
    before = old.cache.slice(0, kept[0])
    run = context.runner.extend(before, changed.ids[kept[0] : kept[1]]).cache
    return replace(changed, cache=splice(context.runner, run, chunk), method=SPLICE)
