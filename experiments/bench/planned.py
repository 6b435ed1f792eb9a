"""What a plan tells of small random models, beside what they take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pkv_interp.engine import Engine, Prefill
from pkv_interp.engine.batches import most_tokens
from pkv_interp.engine.keeping import capture_bytes
from pkv_interp.interventions import HeadPatch, KVPatch, Row
from pkv_interp.measure.heads import all_heads
from pkv_interp.measure.timing import peak_megabytes, seconds
from pkv_interp.models.random_model import random_llama
from pkv_interp.planning import Shape, Work, decode_work, measured_throughput, prefill_work
from pkv_interp.planning.memory import column_bytes, packed_bytes, weight_bytes

LAYERS = 6
_CAPTURES = ("z_all", "mlp_all", "resid_all", "resid_mid_all")
_MIB = 2**20


@dataclass(frozen=True)
class Planned:
    """One part of one model: what was planned, and what it took.

    Attributes:
        width: of the model.
        part: weights, prefix, captures and packed rows in MiB; prefill, decisions and suffixes in seconds.
        repeat: counted from 0; memory is measured once.
        planned: by the plan.
        measured: here.
    """

    width: int
    part: str
    repeat: int
    planned: float
    measured: float

    @property
    def timed(self) -> bool:
        """Whether this is about time."""
        return self.part in ("prefill", "decisions", "suffixes")

    @property
    def off(self) -> float:
        """How far the plan was off, as a share of what was measured; 0 where both are nothing."""
        return abs(self.planned - self.measured) / self.measured if self.measured else abs(self.planned)


@dataclass(frozen=True)
class Plans:
    """All parts of all models, with prompts of ``tokens`` tokens."""

    tokens: int
    parts: list[Planned]


def measure_plans(widths: Sequence[int], tokens: int, repeats: int, rng: np.random.Generator) -> Plans:
    """Plan and run random models.

    Args:
        widths: of the models.
        tokens: of the prompts.
        repeats: how often each piece of work is timed; the throughput is measured anew each time.
        rng: draws the prompts.
    """
    return Plans(tokens, [part for width in widths for part in _parts(width, tokens, repeats, rng)])


def _parts(width: int, tokens: int, repeats: int, rng: np.random.Generator) -> list[Planned]:
    loaded = random_llama(width, LAYERS)
    engine, shape, device = Engine(loaded), Shape.of(loaded.model), loaded.device
    base, donor = (rng.integers(shape.vocab_size, size=tokens).tolist() for _ in range(2))
    clean, corrupt = (engine.prefill(ids, {"prefill"}) for ids in (donor, base))
    notes = tokens // 2
    first = tokens - 1 - notes
    decisions: list[Row] = [(KVPatch((at,), 0),) for at in range(first, tokens - 1)]
    suffixes: list[Row] = [(HeadPatch(la, h, 0, position=first),) for la, h in all_heads(engine.spec)]
    pieces: list[tuple[str, Callable[[], object], Work]] = [
        ("prefill", lambda: engine.prefill(base), prefill_work(shape, tokens)),
        (
            "decisions",
            lambda: engine.decode(corrupt, decisions, (clean,), (0, 1)),
            decode_work(shape, notes, tokens),
        ),
        (
            "suffixes",
            lambda: engine.rerun(corrupt, suffixes, (clean,), (0, 1)),
            decode_work(shape, len(suffixes), tokens, tokens=notes + 1, swept=True),
        ),
    ]
    made = _memory(width, loaded.model, shape, clean, tokens)
    most = most_tokens(device)
    peak = peak_megabytes(pieces[1][1], device)
    made.append(Planned(width, "packed rows", 0, packed_bytes(shape, notes, 1, tokens, 4, most) / _MIB, peak))
    for repeat in range(repeats):
        speed = measured_throughput(shape, torch.float32, device)
        for name, run, work in pieces:
            run()
            made.append(Planned(width, name, repeat, speed.seconds(work), seconds(run, device)[0]))
    return made


def _memory(width: int, model: torch.nn.Module, shape: Shape, prompt: Prefill, tokens: int) -> list[Planned]:
    """Parts whose bytes are held and can be counted."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    captured = sum(prompt.need(name).numel() * prompt.need(name).element_size() for name in _CAPTURES)
    parts = {
        "weights": (weight_bytes(shape, 4), weights),
        "prefix": (column_bytes(shape, tokens - 1, 4), prompt.cache.nbytes),
        "captures": (capture_bytes(shape, tokens, 4), captured),
    }
    return [Planned(width, name, 0, told / _MIB, held / _MIB) for name, (told, held) in parts.items()]
