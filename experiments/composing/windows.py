"""Which of three causes breaks a transplant in a model with sliding windows: sink, rope per layer, window.

Each cause is handled or not, 2 x 2 x 2, and the transplant is compared with a full prefill. Where all three
are handled, what is left is the cost of a blind chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedTokenizerBase

from experiments.composing.timing import text_of
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.rotation import angles, rotations_of, turned_columns
from pkv_interp.composing import join, precompile
from pkv_interp.errors import PkvError
from pkv_interp.measure.decision import kl_divergence
from pkv_interp.models.tiny import tiny_model
from pkv_interp.prompts.blocks import Span
from pkv_interp.tasks import Family, default_scenarios

if TYPE_CHECKING:
    from experiments.composing.settings import ComposingSettings
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Handled:
    """KL of the transplant from the full prefill, in nats, when these causes are handled."""

    sink: bool
    rope_per_layer: bool
    window: bool
    kl: float

    @property
    def causes(self) -> tuple[bool, bool, bool]:
        """Which are handled, in the order of the attributes."""
        return self.sink, self.rope_per_layer, self.window


@dataclass(frozen=True)
class Diagnosis:
    """One prompt under all eight combinations."""

    model: str
    family: str
    combinations: list[Handled]


@dataclass(frozen=True)
class WindowPrompt:
    """Text of one family on one model, longer than its windows.

    Attributes:
        model, family: names.
        ids: start with BOS.
        span: of the chunk.
    """

    model: str
    family: str
    ids: list[int]
    span: Span

    @property
    def instance(self) -> str:
        """Names it among the prompts of a run."""
        return f"{self.model}-{self.family}"


def diagnose(
    runner: Runner, tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], span: Span
) -> list[Handled]:
    """KL of the transplant from the full prefill for each of the eight combinations.

    Args:
        runner: of the model.
        tokenizer: of the model.
        ids: a prompt that starts with BOS.
        span: of the chunk.

    Raises:
        PkvError: the model has no BOS token or no sliding layer.
    """
    if not isinstance(tokenizer.bos_token_id, int) or not any(runner.windows):
        raise PkvError(
            f"{type(runner.model).__name__} has no BOS token or no sliding window",
            "diagnose a model that has both",
        )
    start, stop = span
    full = runner.prefill(ids)
    found: list[Handled] = []
    for sink, per_layer, window in product((True, False), repeat=3):
        chunk = precompile(runner, tokenizer, ids[start:stop], sink="bos" if sink else "none")
        moved = _turned(runner, chunk.cache, start - chunk.start, chunk.start, per_layer)
        spliced = join([full.cache.slice(0, start), moved])
        logits = _decide(runner, spliced, ids[stop:], window)
        found.append(Handled(sink, per_layer, window, float(kl_divergence(logits, full.logits))))
    return found


def _turned(runner: Runner, cache: FrozenCache, delta: int, start: int, per_layer: bool) -> FrozenCache:
    """Keys turned by each layer's own frequencies, or all by those of the last full layer."""
    rotations = rotations_of(runner.model)
    full = (
        max(i for i, window in enumerate(runner.windows) if window is None) if None in runner.windows else 0
    )
    positions = torch.arange(start, start + cache.length, device=cache.device)
    columns = list(zip(cache.keys, cache.values, strict=True))
    for layer, how in enumerate(rotations.turned):
        rotary = rotations.layers[layer if per_layer else full]
        if rotary is not None:
            by = angles(rotary.short.to(positions.device), positions, positions + delta)
            columns[layer] = turned_columns(columns[layer], by.cos().float(), by.sin().float(), how)
    keys, values = zip(*columns, strict=True)
    return FrozenCache(keys, values)


def _decide(runner: Runner, cache: FrozenCache, ids: Sequence[int], window: bool) -> torch.Tensor:
    """Logits after a cache; without ``window`` the sliding layers see every column."""
    if window:
        return runner.extend(cache, ids).logits
    room = FrozenCache(
        tuple(key.new_zeros(*key.shape[:2], len(ids), key.shape[3]) for key in cache.keys),
        tuple(value.new_zeros(*value.shape[:2], len(ids), value.shape[3]) for value in cache.values),
    )
    blind = replace(runner, windows=tuple(None for _ in runner.windows))
    at = range(cache.length, cache.length + len(ids))
    return blind.recompute(join([cache, room]), list(at), ids).logits


def measure_diagnosis(session: "Session[ComposingSettings]", runner: Runner) -> list[Diagnosis]:
    """The 2 x 2 x 2 diagnosis on tiny Gemma 3, and on the run's own model where it slides and has a BOS.

    Args:
        session: of the run.
        runner: of its model.
    """
    settings, own = session.settings, session.loaded.config.name
    tiny, tiny_tokenizer = tiny_model("gemma3", settings.seed)
    subjects: dict[str, tuple[Runner, Any]] = {"tiny-gemma3": (Runner.of(tiny), tiny_tokenizer)}
    if any(runner.windows) and session.tokenizer.bos_token_id is not None and own not in subjects:
        subjects[own] = (runner, session.tokenizer)
    prompts = [
        _prompt(name, family, subject, settings.seed)
        for name, subject in subjects.items()
        for family in default_scenarios().families[: settings.diagnosis_prompts]
    ]

    def one(prompt: WindowPrompt) -> Diagnosis:
        subject, tokenizer = subjects[prompt.model]
        return Diagnosis(prompt.model, prompt.family, diagnose(subject, tokenizer, prompt.ids, prompt.span))

    return session.each("diagnosis", prompts, one, Diagnosis).of(prompts)


def _prompt(model: str, family: Family, subject: tuple[Runner, Any], seed: int) -> WindowPrompt:
    runner, tokenizer = subject
    window = max(w for w in runner.windows if isinstance(w, int))
    # The chunk is longer than a window and lies more than one window after the start.
    size = window + window // 2
    ids = [tokenizer.bos_token_id, *text_of(family, 2 * size + 32, tokenizer, seed)]
    return WindowPrompt(model, family.name, ids, (size, 2 * size))
