"""What the composing experiment does to one scene: splice its chunks, repair, decide, compare with full."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from experiments._composing_cases import Scene, Span
from pkv_interp.cache.compute import Computed, Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.reposition import reposition
from pkv_interp.cache.rotation import rotations_of
from pkv_interp.composing import Chunk, cacheblend_repair, join, link_repair, precompile, splice
from pkv_interp.measure.decision import kl_divergence, token_margin

Found = Mapping[str, Any]
#: Arm that every scene has; the reference is the full prefill.
TRANSPLANT = "transplant"
#: Positions by which the control turns keys there and back, where the model serves as many.
FAR = 777


def against(
    logits: Float[Tensor, " vocab"], full: Float[Tensor, " vocab"], action_ids: tuple[int, int]
) -> dict[str, float]:
    """An arm's decision and its distance from the full prefill's.

    The margin is in logits, first action minus second; ``kl`` in nats. The cosine of raw logits hardly moves
    (their common mean dominates it), so it stands beside one of centred logits.
    """
    centred = [one - one.mean() for one in (logits, full)]
    return {
        "margin": float(token_margin(logits, action_ids)),
        "kl": float(kl_divergence(logits, full)),
        "top1": float(logits.argmax() == full.argmax()),
        "cosine": float(torch.cosine_similarity(logits, full, dim=0)),
        "centred_cosine": float(torch.cosine_similarity(centred[0], centred[1], dim=0)),
    }


class Bench:
    """One prompt, its full prefill and its chunks; arms are made from these.

    Args:
        made: chunks that another prompt of the scene has made already, by their ids; grows.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: PreTrainedTokenizerBase,
        ids: Sequence[int],
        spans: Sequence[Span],
        made: dict[tuple[int, ...], Chunk],
    ) -> None:
        self.runner, self.tokenizer = runner, tokenizer
        self.ids, self.spans = tuple(ids), tuple(spans)
        self.full: Computed = runner.prefill(self.ids)
        self.start, self.stop = spans[0][0], spans[-1][1]
        self.prefix = self.full.cache.slice(0, self.start)
        self.chunks: list[Chunk] = []
        for first, last in spans:
            piece = self.ids[first:last]
            if piece not in made:
                made[piece] = precompile(runner, tokenizer, piece)
            self.chunks.append(made[piece])

    def decide(self, cache: FrozenCache) -> Float[Tensor, " vocab"]:
        """Logits after the prompt's rest behind a cache that ends where the chunks do."""
        return self.runner.extend(cache, self.ids[self.stop :]).logits

    def behind(self, context: Sequence[int], *, bos: bool = False) -> FrozenCache:
        """The splice of chunks that were precompiled behind other tokens, each on its own."""
        pieces = [chunk.ids for chunk in self.chunks]
        made = [
            precompile(self.runner, self.tokenizer, piece, context=context, sink="bos" if bos else "prefix")
            for piece in pieces
        ]
        return splice(self.runner, self.prefix, *made)

    def arms(self, repairs: Sequence[int], share: float | None) -> dict[str, Callable[[], FrozenCache]]:
        """Caches by arm: splices, and repairs of ``repairs`` first tokens or the share that deviates most."""
        spliced = splice(self.runner, self.prefix, *self.chunks)
        upto = self.ids[: self.stop]
        found: dict[str, Callable[[], FrozenCache]] = {
            TRANSPLANT: lambda: spliced,
            "no_rotation": lambda: join([self.prefix, *(chunk.cache for chunk in self.chunks)]),
        }
        # Of one chunk the first tokens are its seam; those of every chunk are EPIC's link tokens.
        name = "seam" if len(self.spans) == 1 else "epic"
        for k in repairs:
            found[f"{name}{k}"] = lambda k=k: link_repair(self.runner, spliced, self.spans, upto, k).cache
        if share is not None:
            found["cacheblend"] = lambda: (
                cacheblend_repair(self.runner, spliced, self.spans, upto, share).cache
            )
        return found


def measure_scene(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    scene: Scene,
    *,
    repairs: Sequence[int],
    share: float | None = None,
    stranger: Sequence[int] = (),
) -> dict[str, Any]:
    """Both sides of a scene under every arm.

    Args:
        repairs: numbers of first tokens to recompute.
        share: of the chunk that the CacheBlend arm recomputes; None leaves the arm out.
        stranger: ids of an unrelated context; given, chunks precompiled behind it, behind BOS alone and
            behind the other side's prefix, where that differs, are arms as well.
    """
    made: dict[tuple[int, ...], Chunk] = {}
    ids = scene.case.action_ids
    sides: list[dict[str, Any]] = []
    for at, (side, prompt) in enumerate(scene.sides):
        bench = Bench(runner, tokenizer, prompt.ids, scene.spans, made)
        arms = bench.arms(repairs, share)
        if stranger:
            other = scene.sides[1 - at][1].ids[: bench.start]
            arms["behind_stranger"] = lambda bench=bench: bench.behind(stranger)
            if other != prompt.ids[: bench.start]:  # the field stands there: notes of the other conclusion
                arms["behind_other_side"] = lambda bench=bench, other=other: bench.behind(other)
            if isinstance(tokenizer.bos_token_id, int):
                arms["behind_bos"] = lambda bench=bench: bench.behind((), bos=True)
        full = bench.full.logits
        sides.append(
            {
                "side": side,
                "gold": at,
                "margin": float(token_margin(full, ids)),
                "top_token_right": int(full.argmax()) == ids[at],
                "gold_first_in_menu": _first(prompt.text, scene.case.actions) == at,
                "arms": {name: against(bench.decide(cache()), full, ids) for name, cache in arms.items()},
            }
        )
    prompt = scene.case.clean
    return {
        "tokens": len(prompt),
        "chunk": sum(stop - start for start, stop in scene.spans),
        "moved": scene.spans[0][0],
        "sides": sides,
    }


def _first(text: str, actions: Sequence[str]) -> int:
    """Which action the prompt's question names first."""
    asked = text[text.rindex("Answer with one word") :]
    return int(asked.index(actions[1]) < asked.index(actions[0]))


def first_keys_apart(one: FrozenCache, other: FrozenCache) -> float:
    """Largest difference of the first layer's keys over the largest key.

    These keys hold a token and its position and nothing else, so wherever a chunk comes from, keys that were
    turned rightly are those of a full prefill.
    """
    a, b = one.keys[0].float(), other.keys[0].float()
    return float((a - b).abs().max() / b.abs().max())


def measure_controls(
    runner: Runner, tokenizer: PreTrainedTokenizerBase, scenes: Sequence[Scene]
) -> dict[str, float]:
    """Checks with known answers, the largest error over the scenes, in logits (of keys for rotations)."""
    own, back, whole, noise, turned = [], [], [], [], []
    for scene in scenes:
        for _, prompt in scene.sides:
            bench = Bench(runner, tokenizer, prompt.ids, scene.spans, {})
            extended = bench.decide(bench.full.cache.slice(0, bench.stop))
            noise.append(float((extended - bench.full.logits).abs().max()))
            cache = bench.prefix
            for first, last in scene.spans:
                made = precompile(
                    runner, tokenizer, bench.ids[first:last], context=bench.ids[:first], sink="prefix"
                )
                cache = splice(runner, cache, made)
            own.append(float((bench.decide(cache) - extended).abs().max()))
            for chunk in bench.chunks:
                far = min(FAR, rotations_of(runner.model).limit - chunk.start - chunk.length)
                there = reposition(runner.model, chunk.cache, far, start=chunk.start)
                again = reposition(runner.model, there, -far, start=chunk.start + far)
                back += [
                    float((a - b).abs().max()) for a, b in zip(again.keys, chunk.cache.keys, strict=True)
                ]
            spliced = splice(runner, bench.prefix, *bench.chunks)
            turned.append(first_keys_apart(spliced, bench.full.cache.slice(0, bench.stop)))
            mended = link_repair(
                runner,
                spliced,
                scene.spans,
                bench.ids[: bench.stop],
                10**9,
            )
            whole.append(float((bench.decide(mended.cache) - extended).abs().max()))
    return {
        "own_position": max(own),
        "there_and_back": max(back),
        "whole_seam": max(whole),
        "turned": max(turned),
        "noise": max(noise),
    }
