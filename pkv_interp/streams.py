"""Random streams by name: streams of one seed with different names are independent."""

import hashlib

import numpy as np


def stream_number(name: str) -> int:
    """A number for a name, the same in every process (Python's own hash is salted)."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of a named stream, for example ``stream(settings.seed, "circuit", "read heads")``.

    Args:
        seed: of the run.
        names: what the stream is for, the most general first; numbers count as they are.
    """
    return np.random.default_rng(
        [seed, *(name if isinstance(name, int) else stream_number(name) for name in names)]
    )
