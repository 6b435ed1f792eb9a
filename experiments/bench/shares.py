"""What running part of a prompt again costs, against that part's share of a prefill's multiply-adds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pkv_interp.cache import Runner
from pkv_interp.composing import cacheblend_repair, link_repair
from pkv_interp.measure.timing import seconds
from pkv_interp.models.random_model import random_llama
from pkv_interp.planning import Shape, prefill_work

WIDTH, LAYERS = 256, 6
#: The last part of the prompt, as a share of it, that is run again.
SUFFIX = 0.25
#: Chunks in the prompt, tokens of each that a repair of its seam runs, and the share that CacheBlend runs.
CHUNKS, SEAM, BLEND = 4, 64, 0.15


@dataclass(frozen=True)
class ShareTime:
    """One way to run part of a prompt again, timed once beside a prefill of the whole prompt.

    Attributes:
        work: suffix_recompute, chunk_repair or cacheblend.
        tokens: of the prompt.
        repeat: counted from 0.
        share: of the prefill's multiply-adds, as the work is defined: no score that is dropped is counted.
        seconds: that it took.
        prefill_seconds: of the prefill.
    """

    work: str
    tokens: int
    repeat: int
    share: float
    seconds: float
    prefill_seconds: float

    @property
    def ratio(self) -> float:
        """Time as a share of the prefill's, over the share of its multiply-adds."""
        return self.seconds / self.prefill_seconds / self.share


@dataclass(frozen=True)
class Shares:
    """All of them."""

    times: list[ShareTime]


def measure_shares(lengths: Sequence[int], repeats: int, rng: np.random.Generator) -> Shares:
    """Time every kind of work on a random model, at every length.

    Args:
        lengths: tokens of the prompts.
        repeats: how often; prefill and work take turns.
        rng: draws the prompts.
    """
    loaded = random_llama(WIDTH, LAYERS)
    runner, shape = Runner.of(loaded.model), Shape.of(loaded.model)
    times = []
    for tokens in lengths:
        ids = rng.integers(shape.vocab_size, size=tokens).tolist()
        for name, (run, share) in _works(runner, shape, ids).items():
            run()
            for repeat in range(repeats):
                took, _ = seconds(run, loaded.device)
                whole, _ = seconds(lambda ids=ids: runner.prefill(ids), loaded.device)
                times.append(ShareTime(name, tokens, repeat, share, took, whole))
    return Shares(times)


def _works(runner: Runner, shape: Shape, ids: list[int]) -> dict[str, tuple[Callable[[], object], float]]:
    """By name: the work, and its share of a prefill's multiply-adds."""
    tokens, cache = len(ids), runner.prefill(ids).cache
    whole = prefill_work(shape, tokens).macs
    start = round(tokens * (1 - SUFFIX))
    prefix, size = cache.slice(0, start), tokens // CHUNKS
    spans = [(at, at + size) for at in range(0, size * CHUNKS, size)]
    seams = [at for first, stop in spans for at in range(first, min(first + SEAM, stop))]
    again = spans[1:]
    picked = max(1, round(BLEND * (tokens - size)))
    # CacheBlend first runs every token of the chunks through the layers below the one that it chooses by.
    early = prefill_work(shape, again[-1][1] - size, size).macs / shape.n_layers
    mean = (size + tokens) / 2
    blended = early + picked * _token(shape, mean) + shape.head_macs
    return {
        "suffix_recompute": (
            lambda: runner.extend(prefix, ids[start:]),
            prefill_work(shape, tokens - start, start).macs / whole,
        ),
        "chunk_repair": (
            lambda: link_repair(runner, cache, spans, ids, SEAM),
            (sum(_token(shape, at + 1) for at in seams) + shape.head_macs) / whole,
        ),
        "cacheblend": (lambda: cacheblend_repair(runner, cache, again, ids, BLEND), blended / whole),
    }


def _token(shape: Shape, columns: float) -> float:
    """Multiply-adds of one token that sees so many columns."""
    scores = 2 * shape.n_heads * shape.head_dim * columns
    return shape.n_layers * (shape.layer_macs + scores)
