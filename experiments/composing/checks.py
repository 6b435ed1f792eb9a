"""Checks with known answers: splices that change nothing, turned keys, routes that are equal, traces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase

from experiments.composing.cases import Scene
from experiments.composing.spliced import SplicedPrompt
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.reposition import reposition
from pkv_interp.cache.rotation import rotations_of
from pkv_interp.composing import link_repair
from pkv_interp.engine import Engine
from pkv_interp.measure.controls import size_of
from pkv_interp.measure.splices import first_keys_apart, spliced_in_context

if TYPE_CHECKING:
    from experiments.composing.settings import ComposingSettings
    from pkv_interp.run.session import Session

#: Positions by which keys are turned there and back, where the model serves as many.
FAR = 777
#: First tokens of each chunk that are run again in the caches that are traced; 0 is the plain splice.
TRACED = (0, 1, 16)
#: Allowed error of keys that were turned there and back, by the dtype of the model.
THERE_AND_BACK = {"float32": 1e-5, "bfloat16": 0.1, "float16": 0.02}


@dataclass(frozen=True)
class Checks:
    """Errors of what is known, the largest over scenes.

    Attributes:
        own_position: of a splice at its own position, in logits.
        there_and_back: of keys turned there and back, as a share of the largest.
        whole_chunk: of a repair of every token of the chunks, in logits.
        turned: of the first layer's keys of chunks made elsewhere, as a share of the largest.
        noise: of a prefill in two parts, in logits.
        size: no error but the largest logit, which rounding is a share of.
        blind: of splices against prefills in which the chunks are blind, in logits; 0 where they are not.
    """

    own_position: float
    there_and_back: float
    whole_chunk: float
    turned: float
    noise: float
    size: float
    blind: float = 0.0


@dataclass(frozen=True)
class Traces:
    """Traced decisions on spliced and repaired caches.

    Attributes:
        difference: largest, in logits, from the decision that the composing API reads.
        caches: that were traced.
    """

    difference: float
    caches: int


def check_splices(
    session: "Session[ComposingSettings]", runner: Runner, scenes: Sequence[Scene], *, blind: bool = False
) -> None:
    """Stop the run where splicing or turning does not do what it says; set the noise floor.

    Args:
        session: of the run.
        runner: of the model.
        scenes: a few.
        blind: chunks are blind by the model's pattern, for which a splice is exact.

    Raises:
        ControlFailure: an error is too large.
    """
    tokenizer = session.tokenizer
    found = session.once(
        "splice checks", lambda: measure_checks(runner, tokenizer, scenes, blind=blind), Checks
    )
    session.size = found.size
    allowed, detail = session.tolerance, f"one scene of each of {len(scenes)} conditions"
    back = THERE_AND_BACK[session.loaded.info.dtype]
    keys = f"first layer's keys of chunks made elsewhere against a full prefill's, as a share, {detail}"
    logits = f"logits, {detail}"
    session.control("splice_at_own_position", found.own_position, 0.0, allowed.logits, logits)
    session.control("there_and_back", found.there_and_back, 0.0, back, f"keys, as a share, {detail}")
    session.control("turned_keys", found.turned, 0.0, allowed.keys, keys)
    session.control("whole_chunk_recomputed", found.whole_chunk, 0.0, allowed.logits, logits)
    session.control("extend_equals_prefill", found.noise, 0.0, allowed.logits, logits)
    if blind:
        told = f"logits, spliced chunks against a prefill in which they are blind, {detail}"
        session.control("blind_splice_equals_prefill", found.blind, 0.0, allowed.logits, told)
    traced = session.once(
        "splice traces", lambda: measure_traces(session.engine, runner, tokenizer, scenes), Traces
    )
    told = f"logits, traced decisions against those of the composing API, {traced.caches} spliced caches"
    session.control("traced_splices_equal_api", traced.difference, 0.0, allowed.logits, told)
    session.set_noise_floor(max(found.noise, found.own_position, found.whole_chunk))


def measure_checks(
    runner: Runner, tokenizer: PreTrainedTokenizerBase, scenes: Sequence[Scene], *, blind: bool = False
) -> Checks:
    """The largest errors over both sides of the scenes.

    Args:
        runner: of the model.
        tokenizer: of the model.
        scenes: a few.
        blind: hold splices against prefills in which the chunks are blind.
    """
    found = [
        _of_prompt(runner, SplicedPrompt(runner, tokenizer, prompt.ids, scene.spans, {}), blind)
        for scene in scenes
        for _, prompt in scene.sides
    ]
    return Checks(
        own_position=max(one.own_position for one in found),
        there_and_back=max(one.there_and_back for one in found),
        whole_chunk=max(one.whole_chunk for one in found),
        turned=max(one.turned for one in found),
        noise=max(one.noise for one in found),
        size=max(one.size for one in found),
        blind=max(one.blind for one in found),
    )


def measure_traces(
    engine: Engine, runner: Runner, tokenizer: PreTrainedTokenizerBase, scenes: Sequence[Scene]
) -> Traces:
    """Open splices and their repairs as bases of traced decisions, beside what the API says of them.

    Args:
        engine: that traces.
        runner: of its model.
        tokenizer: of the model.
        scenes: a few.
    """
    apart: list[float] = []
    for scene in scenes:
        for _, side in scene.sides:
            prompt = SplicedPrompt(runner, tokenizer, side.ids, scene.spans, {})
            spliced, upto = prompt.spliced(), prompt.ids[: prompt.stop]
            for k in TRACED:
                cache = link_repair(runner, spliced, prompt.spans, upto, k).cache if k else spliced
                traced = engine.open(prompt.ids, cache).logits
                apart.append(float((traced - prompt.decide(cache)).abs().max()))
    return Traces(max(apart), len(apart))


def _of_prompt(runner: Runner, prompt: SplicedPrompt, blind: bool) -> Checks:
    extended = prompt.decide(prompt.full.cache.slice(0, prompt.stop))
    spliced, upto = prompt.spliced(), prompt.ids[: prompt.stop]
    repaired = link_repair(runner, spliced, prompt.spans, upto, 10**9)
    own = spliced_in_context(runner, prompt.tokenizer, prompt.prefix, prompt.ids, prompt.spans)

    def off(cache: FrozenCache) -> float:
        return float((prompt.decide(cache) - extended).abs().max())

    return Checks(
        own_position=off(own),
        there_and_back=max(_turned_back(runner, chunk.cache, chunk.start) for chunk in prompt.chunks),
        whole_chunk=off(repaired.cache),
        turned=first_keys_apart(spliced, prompt.full.cache.slice(0, prompt.stop)),
        noise=float((extended - prompt.full.logits).abs().max()),
        size=size_of(prompt.full.logits),
        blind=float((prompt.decide(spliced) - prompt.decide(prompt.blinded())).abs().max()) if blind else 0.0,
    )


def _turned_back(runner: Runner, cache: FrozenCache, start: int) -> float:
    """Largest difference of keys after turning them far and back, as a share of the layer's largest."""
    far = min(FAR, rotations_of(runner.model).limit - start - cache.length)
    there = reposition(runner.model, cache, far, start=start)
    again = reposition(runner.model, there, -far, start=start + far)
    pairs = zip(again.keys, cache.keys, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
