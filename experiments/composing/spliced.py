"""One prompt and its chunks: what its arms are made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pkv_interp.cache import AttentionLayout
from pkv_interp.cache.compute import Computed, Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing import Chunk, cacheblend_repair, join, link_repair, precompile, splice
from pkv_interp.prompts.blocks import Span

#: Arm that every scene has; the reference is the full prefill.
TRANSPLANT = "transplant"
#: Arm of a model whose policies are blind: a prefill in which the chunks' tokens see each other alone.
FULL_BLIND = "full_blind"


@dataclass(frozen=True)
class Arms:
    """Which arms a scene has beside the transplant and the one without rotation.

    Attributes:
        repairs: numbers of first tokens to recompute.
        share: of the chunk that the CacheBlend arm recomputes; None leaves the arm out.
        stranger: ids of an unrelated context; given, chunks precompiled after it, after BOS alone and after
            the other side's prefix, where that differs, are arms as well.
        blind: chunks are blind by the model's pattern, and the prefill that says so is an arm.
    """

    repairs: tuple[int, ...]
    share: float | None = None
    stranger: tuple[int, ...] = ()
    blind: bool = False


class SplicedPrompt:
    """One prompt, its full prefill and its chunks; arms are made from these."""

    def __init__(
        self,
        runner: Runner,
        tokenizer: PreTrainedTokenizerBase,
        ids: Sequence[int],
        spans: Sequence[Span],
        made: dict[tuple[int, ...], Chunk],
    ) -> None:
        """Prefill the prompt, and its chunks alone.

        Args:
            runner: of the model.
            tokenizer: of the model.
            ids: the prompt.
            spans: of the chunks.
            made: chunks that another prompt of the scene has made already, by their ids; grows.
        """
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
        """Logits after the prompt's rest, given a cache that ends where the chunks do."""
        return self.runner.extend(cache, self.ids[self.stop :]).logits

    def spliced(self) -> FrozenCache:
        """The splice of the chunks."""
        return splice(self.runner, self.prefix, *self.chunks)

    def blinded(self) -> FrozenCache:
        """A prefill up to the chunks' end in which each chunk sees itself alone."""
        layout = AttentionLayout(self.stop, blind=self.spans)
        return self.runner.prefill(self.ids[: self.stop], layout).cache

    def prepared(self, context: Sequence[int], *, bos: bool = False) -> FrozenCache:
        """The splice of chunks that were precompiled after other tokens, each on its own."""
        sink = "bos" if bos else "prefix"
        made = [
            precompile(self.runner, self.tokenizer, chunk.ids, context=context, sink=sink)
            for chunk in self.chunks
        ]
        return splice(self.runner, self.prefix, *made)

    def arms(self, wanted: Arms, other: Sequence[int]) -> dict[str, Callable[[], FrozenCache]]:
        """Caches by arm.

        Args:
            wanted: which arms.
            other: the other side's prefix.
        """
        spliced = self.spliced()
        upto = self.ids[: self.stop]
        found: dict[str, Callable[[], FrozenCache]] = {
            TRANSPLANT: lambda: spliced,
            "no_rotation": lambda: join([self.prefix, *(chunk.cache for chunk in self.chunks)]),
        }
        if wanted.blind:
            found[FULL_BLIND] = self.blinded
        # Of one chunk the first tokens are its seam; those of every chunk are EPIC's link tokens.
        name = "seam" if len(self.spans) == 1 else "epic"
        for k in wanted.repairs:
            found[f"{name}{k}"] = lambda k=k: link_repair(self.runner, spliced, self.spans, upto, k).cache
        share = wanted.share
        if share is not None:
            found["cacheblend"] = lambda: (
                cacheblend_repair(self.runner, spliced, self.spans, upto, share).cache
            )
        if wanted.stranger:
            found["behind_stranger"] = lambda: self.prepared(wanted.stranger)
            if other != self.ids[: self.start]:  # the field stands there: notes of the other conclusion
                found["behind_other_side"] = lambda: self.prepared(other)
            if isinstance(self.tokenizer.bos_token_id, int):
                found["behind_bos"] = lambda: self.prepared((), bos=True)
        return found
