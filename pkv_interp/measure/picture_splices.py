"""Chunks with pictures, spliced after prefaces and compared with the prefill of the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pkv_interp.cache.attention_layout import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing.chunk import Chunk, first_ids, precompile, token_ids
from pkv_interp.composing.repair import seam_repair
from pkv_interp.composing.splice import join, splice
from pkv_interp.measure.decision import kl_divergence
from pkv_interp.measure.picture_answers import PictureAnswer, read_answer, showing
from pkv_interp.models.load_vision import LoadedVision
from pkv_interp.pictures.drawing import picture
from pkv_interp.pictures.items import Item
from pkv_interp.pictures.prompts import PICTURE
from pkv_interp.pictures.words import IMAGE, VISION_END, VISION_START
from pkv_interp.prompts.special import prefix_of

#: Stands for the words of a message while its template is asked for.
_HERE = "\x00"


@dataclass(frozen=True)
class Parts:
    """A prompt in three parts, as tokens.

    Attributes:
        head: what stands before the pictures, BOS or a chat template's beginning included; may be empty.
        body: the chunk with the pictures.
        tail: the question, and what opens the answer.
    """

    head: tuple[int, ...]
    body: tuple[int, ...]
    tail: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens."""
        return (*self.head, *self.body, *self.tail)


@dataclass(frozen=True)
class SplicedArm:
    """What a spliced cache answers, beside the full prefill of the same tokens.

    Attributes:
        answer: of the spliced cache.
        kl: of the full prefill from it, in nats.
        tokens: tokens of the chunk that were run again.
    """

    answer: PictureAnswer
    kl: float
    tokens: int


def pads(text: str, counts: Sequence[int]) -> str:
    """Words in which each picture, in order, has as many tokens as the tower makes of it."""
    for count in counts:
        # Marked, so that a picture that was written is not found again.
        shown = f"{VISION_START}{_HERE * count}{VISION_END}"
        text = text.replace(PICTURE, shown, 1)
    return text.replace(_HERE, IMAGE)


def parts_of(loaded: LoadedVision, item: Item, counts: Sequence[int]) -> Parts:
    """An item's prompt as tokens, in the model's chat template where it has one.

    Args:
        loaded: the model.
        item: what is asked.
        counts: tokens of each picture.
    """
    tokenizer: Any = loaded.tokenizer
    before, after = "", ""
    if tokenizer.chat_template is not None:
        message = [{"role": "user", "content": _HERE}]
        rendered = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        before, after = str(rendered).split(_HERE)
    opening = f"{before}{item.head} " if item.head else before
    plain = tuple(prefix_of(tokenizer)) if tokenizer.chat_template is None else ()
    head = first_ids(tokenizer, opening) if opening and plain else plain
    if opening and not plain:
        head = token_ids(tokenizer, opening)
    return Parts(
        head,
        token_ids(tokenizer, pads(item.body, counts)),
        token_ids(tokenizer, f" {item.tail}{after}"),
    )


@dataclass(frozen=True, eq=False)
class Bench:
    """One item whose chunk is made and moved.

    Attributes:
        loaded: the model.
        item: what is asked, without a preface.
        runner: for prompts with the item's pictures.
        counts: tokens of each picture.
    """

    loaded: LoadedVision
    item: Item
    runner: Runner
    counts: tuple[int, ...]

    @classmethod
    def of(cls, loaded: LoadedVision, item: Item, pixels: int) -> Bench:
        """Draw the pictures with ``pixels`` to a side, and let the tower look at them."""
        images = [picture(scene, pixels) for scene in item.scenes]
        return cls.showing(loaded, item, images)

    @classmethod
    def showing(cls, loaded: LoadedVision, item: Item, images: Sequence[Image.Image]) -> Bench:
        """The item with other pictures in the place of its own."""
        runner: Any = showing(loaded, images)
        return cls(loaded, item, runner, tuple(len(one.tokens) for one in runner.pictures))

    def parts(self, preface: int, seed: int = 0) -> Parts:
        """The prompt after a preface of some words."""
        return parts_of(self.loaded, self.item.after(preface, seed), self.counts)

    def full(self, parts: Parts) -> Float[Tensor, " vocab"]:
        """Logits of the whole prompt's prefill."""
        return self.runner.prefill(parts.ids).logits

    def chunk(self, context: Sequence[int]) -> Chunk:
        """The body, made after some tokens."""
        body = self.parts(0).body
        if not context:
            return precompile(self.runner, self.loaded.tokenizer, body)
        return precompile(self.runner, self.loaded.tokenizer, body, context=context, sink="prefix")

    def spliced(self, parts: Parts, chunk: Chunk) -> FrozenCache:
        """Head and chunk."""
        return splice(self.runner, self._prefix(parts), chunk)

    def unturned(self, parts: Parts, chunk: Chunk) -> FrozenCache:
        """Head and chunk, whose keys keep the angles of where it was made."""
        made = self.spliced(parts, chunk)
        at = len(parts.head)
        moved = made.slice(at, made.length)
        left = replace(moved, keys=chunk.cache.keys, values=chunk.cache.values)
        return join([made.slice(0, at), left])

    def _prefix(self, parts: Parts) -> FrozenCache:
        if parts.head:
            return self.runner.prefill(parts.head).cache
        return self.runner.prefill(parts.tail[:1]).cache.slice(0, 0)

    def repaired(self, parts: Parts, cache: FrozenCache, k: int) -> FrozenCache:
        """The first ``k`` tokens of the chunk run again in their context; 0 runs none."""
        if not k:
            return cache
        span, ids = (len(parts.head), cache.length), (*parts.head, *parts.body)
        return seam_repair(self.runner, cache, span, ids, k).cache

    def arm(
        self, parts: Parts, cache: FrozenCache, full: Float[Tensor, " vocab"], tokens: int = 0
    ) -> SplicedArm:
        """What a cache of head and chunk answers."""
        logits = self.runner.extend(cache, parts.tail).logits
        answer = read_answer(self.loaded.tokenizer, logits, self.item)
        return SplicedArm(answer, float(kl_divergence(logits, full)), tokens)

    def own_place_error(self, parts: Parts) -> float:
        """The largest difference of logits of a splice that has to change nothing."""
        cache = self.spliced(parts, self.chunk(parts.head))
        return float((self.runner.extend(cache, parts.tail).logits - self.full(parts)).abs().max())

    def masked_error(self, parts: Parts) -> float:
        """A moved chunk against a prefill in which its tokens attend to nothing before them, in logits."""
        chunk = precompile(self.runner, self.loaded.tokenizer, parts.body, blind=True)
        moved = self.runner.extend(self.spliced(parts, chunk), parts.tail).logits
        start, stop = len(parts.head), len(parts.head) + len(parts.body)
        layout = AttentionLayout(stop, blind=((start, stop),))
        return float((moved - self.runner.prefill(parts.ids, layout).logits).abs().max())


@torch.no_grad()
def own_forward_error(loaded: LoadedVision, item: Item, pixels: int) -> float:
    """The largest difference of our logits from those of the model's own forward, pixels and all."""
    images = [picture(scene, pixels) for scene in item.scenes]
    bench = Bench.showing(loaded, item, images)
    ids = bench.parts(0).ids
    model: Any = loaded.model
    tokens = torch.tensor([ids], device=model.device)
    seen = {name: value.to(model.device) for name, value in loaded.seen(images).items()}
    shown = (tokens == model.config.image_token_id).int()
    own = model(input_ids=tokens, mm_token_type_ids=shown, **seen).logits[0, -1].float()
    return float((own - bench.runner.prefill(ids).logits).abs().max())
