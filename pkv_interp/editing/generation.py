"""Text that continues a context, greedy or sampled, over its cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.forward import fresh_rotation
from pkv_interp.cache.masks import refuse_restricted
from pkv_interp.errors import PkvError, short
from pkv_interp.finite import finite_logits
from pkv_interp.ids import TokenIds
from pkv_interp.indices import whole
from pkv_interp.models.ending import end_tokens

_THOUGHT_ENDS = "</think>"
#: The lowest temperature above 0: below it, logits over it overflow float32 sooner or later.
_COLDEST = 1e-6
_HINT = f"give at least 1 token and a temperature of 0, or of {_COLDEST:g} or more"


@dataclass(frozen=True)
class Generation:
    """What the model wrote.

    Attributes:
        text: without special tokens, up to where it stopped.
        ids: new tokens, the end token left out; with a stop text, up to the token that completed it.
        stopped: by itself or at a stop text; otherwise it is cut at the limit.
    """

    text: str
    ids: tuple[int, ...]
    stopped: bool

    @property
    def answer(self) -> str:
        """The text after the chain of thought, if the model wrote one in a thinking block."""
        return self.text.rpartition(_THOUGHT_ENDS)[2].strip()


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the token of largest logit; above it, tokens are drawn.
        seed: of the draws.
    """

    temperature: float = 0.0
    seed: int = 0

    def check(self) -> None:
        """Refuse what no token can be drawn with.

        Raises:
            PkvError: a temperature that is no number, below 0, or so small that logits over it overflow; a
                seed that is no whole number of 64 bits.
        """
        given: object = self.temperature
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if not number or not (given == 0 or _COLDEST <= self.temperature < float("inf")):
            raise PkvError(f"temperature is {short(given)}", _HINT)
        if not 0 <= whole(self.seed, "seed") < 2**63:
            raise PkvError(f"seed is {self.seed}", "give 0 or more, and less than 2**63")


GREEDY = Sampling()


@torch.no_grad()
def generate(
    runner: Runner,
    tokenizer: Any,
    cache: FrozenCache,
    ids: TokenIds,
    most: int,
    sampling: Sampling = GREEDY,
    stop: str | Sequence[str] = (),
) -> Generation:
    """Continue ``ids`` after a cache, one token at a time. The cache is read, never written.

    Args:
        runner: the model.
        tokenizer: of that model.
        cache: of everything before ``ids``.
        ids: tokens that are run first, at least one.
        most: most new tokens.
        sampling: how each token is chosen.
        stop: one text or several at which to stop; the text ends before the first of them.

    Raises:
        PkvError: a limit below 1, a temperature, seed or stop text that is none, no ids, logits that are not
            finite, or a text that could grow past what the model serves or past a length at which the rotary
            frequencies change.
    """
    most = whole(most, "the limit of new tokens", 1, _HINT)
    sampling.check()
    stops = _stops(stop)
    model = runner.model
    ids = runner.checked(ids)
    runner = runner.reading(cache, ids)
    runner.positions.check_cache(cache, cache.length + len(ids) + most)
    refuse_restricted(cache)
    if not cache.length:
        runner.positions.check_lengths(len(ids), len(ids) + most)
    runner.positions.check_served(cache.length + len(ids) + most)
    ends = end_tokens(model, tokenizer)
    drawn = torch.Generator().manual_seed(sampling.seed)
    grown, end = cache.view(), cache.length
    current, new = list(ids), []
    for _ in range(most):
        at = torch.arange(end, end + len(current), device=model.device)
        end += len(current)
        with fresh_rotation(model):
            logits = runner.forward(torch.tensor([current], device=model.device), at, grown)
        token = _pick(finite_logits(logits[0, -1].float()), sampling.temperature, drawn)
        if token in ends:
            return Generation(_text(tokenizer, new), tuple(new), True)
        new.append(token)
        current = [token]
        if stops:
            text = _text(tokenizer, new)
            found = [text.index(words) for words in stops if words in text]
            if found:
                return Generation(text[: min(found)], tuple(new), True)
    return Generation(_text(tokenizer, new), tuple(new), False)


def _stops(stop: str | Sequence[str]) -> tuple[str, ...]:
    """The texts at which to stop.

    Raises:
        PkvError: one is empty, or no text.
    """
    stops: Any = (stop,) if isinstance(stop, str) else stop
    if not isinstance(stops, list | tuple | set | frozenset):
        raise PkvError(f"stop is {short(stop)}", "give one text, a list of texts, or () for none")
    for words in stops:
        if not isinstance(words, str):
            raise PkvError(f"{short(words)} is no stop text", "give the words at which the text shall end")
        if not words:
            raise PkvError("an empty stop text was given", "give the words at which the text shall end")
    return tuple(stops)


def _text(tokenizer: Any, ids: Sequence[int]) -> str:
    return tokenizer.decode(list(ids), skip_special_tokens=True)


def _pick(logits: Tensor, temperature: float, drawn: torch.Generator) -> int:
    if temperature == 0.0:
        return int(logits.argmax())
    # Drawn on the CPU, so that a seed means the same tokens on every device.
    return int(torch.multinomial((logits / temperature).softmax(-1).cpu(), 1, generator=drawn))
