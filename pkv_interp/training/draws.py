"""Small seeded draws that training examples are made of."""

from collections.abc import Sequence

import numpy as np

from pkv_interp.training import wordings

#: Neutral sentences of a document, from the first number to the second, and how often each range is drawn.
LENGTHS: tuple[tuple[int, int, float], ...] = (
    (0, 2, 0.46),
    (3, 8, 0.25),
    (9, 20, 0.14),
    (21, 45, 0.09),
    (46, 90, 0.06),
)


def pick(rng: np.random.Generator, pool: Sequence[str]) -> str:
    """One of a pool."""
    return pool[int(rng.integers(len(pool)))]


def two(rng: np.random.Generator, pool: Sequence[str]) -> tuple[str, str]:
    """Two different ones of a pool, in random order."""
    first, second = rng.permutation(len(pool))[:2]
    return pool[int(first)], pool[int(second)]


def filler(rng: np.random.Generator) -> str:
    """One neutral sentence."""
    return pick(rng, wordings.FILLERS).format(**{k: pick(rng, v) for k, v in wordings.FILLER_SLOTS.items()})


def n_fillers(rng: np.random.Generator, longest: int) -> int:
    """Number of neutral sentences: mostly few, at times very many, never more than ``longest``."""
    low, high, _ = LENGTHS[int(rng.choice(len(LENGTHS), p=[p for *_, p in LENGTHS]))]
    return min(int(rng.integers(low, high + 1)), longest)


def record(rng: np.random.Generator) -> str:
    """Name of a record."""
    return f"{'ABCDEFGHKLMNPRSTUVWXYZ'[int(rng.integers(22))]}{int(rng.integers(10, 10000))}"


def upper(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]
