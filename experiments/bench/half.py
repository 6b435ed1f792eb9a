"""How much faster a prefill in bfloat16 is, and how far it moves a decision."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pkv_interp.engine import Engine
from pkv_interp.measure.half import NARROW, HalfCheck, check_half
from pkv_interp.measure.timing import seconds
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.random_model import random_llama
from pkv_interp.tasks import Case

#: Blocks of the random model: time is a matter of its width.
LAYERS = 4


@dataclass(frozen=True)
class HalfRound:
    """One prompt prefilled once in each dtype.

    Attributes:
        repeat: counted from 0.
        own, narrow: seconds in float32 and in bfloat16; the decision token is run in float32 in both.
        difference: of the decision's logits, the largest.
    """

    repeat: int
    own: float
    narrow: float
    difference: float


@dataclass(frozen=True)
class HalfTimes:
    """Prompts of ``tokens`` tokens; ``model`` is the run's own, or a random one by its width."""

    model: str
    tokens: int
    largest_logit: float
    rounds: list[HalfRound]


@dataclass(frozen=True)
class Half:
    """Times in both dtypes, and the check that a run makes on its own cases.

    Attributes:
        times: by model and length; nothing where the model's own dtype is no wider.
        check: on the benchmark's case.
    """

    times: list[HalfTimes]
    check: HalfCheck | None


def measure_half(loaded: LoadedModel, case: Case, lengths: Sequence[int], width: int, repeats: int) -> Half:
    """Time prefills of the run's model, and of a random one as wide as asked for.

    Args:
        loaded: the run's model.
        case: whose clean prompt is repeated to the lengths, and which is checked.
        lengths: tokens of the prompts.
        width: of the random model.
        repeats: how often.
    """
    if torch.finfo(loaded.model.dtype).bits <= torch.finfo(NARROW).bits:
        return Half([], None)
    engine, wide = Engine(loaded), Engine(random_llama(width, LAYERS, device=loaded.info.device))
    times = []
    for length in lengths:
        ids = _filled(case.clean.ids, length)
        times.append(_time(engine, loaded.info.name, ids, repeats))
        small = [token % wide.spec.vocab_size for token in ids]
        times.append(_time(wide, f"random, width {width}", small, repeats))
    return Half(times, check_half(engine, [case]))


def _filled(ids: Sequence[int], length: int) -> list[int]:
    """A text of that many tokens: the prompt over and over, and its end last."""
    return (list(ids) * (length // len(ids) + 1))[-length:]


def _time(engine: Engine, name: str, ids: Sequence[int], repeats: int) -> HalfTimes:
    device = engine.loaded.device
    rounds, largest = [], 0.0
    for repeat in range(-1, repeats):  # the first one allocates and chooses kernels
        found = []
        for dtype in (None, NARROW):
            engine.prefill_in(dtype)
            found.append(seconds(lambda: engine.prefill(ids), device))
        (own, exact), (narrow, near) = found
        difference = float((exact.logits - near.logits).abs().max())
        largest = float(exact.logits.abs().max())
        if repeat >= 0:
            rounds.append(HalfRound(repeat, own, narrow, difference))
    engine.prefill_in(None)
    return HalfTimes(name, len(ids), largest, rounds)
