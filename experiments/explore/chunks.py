"""Measured on a chunk that is cut out, moved and repaired: its decision beside that of a full prefill."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.explore.desk import Report
from pkv_interp.cache.compute import Computed, Runner
from pkv_interp.composing import Chunk, precompile, seam_repair, splice
from pkv_interp.errors import PkvError
from pkv_interp.measure.decision import kl_divergence, token_margin

#: Both prompts in two orders.
_KEPT = 4
#: Numbers of repaired tokens on the curve.
REPAIRS = (0, 1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Moved:
    """A chunk of one prompt in its place.

    Attributes:
        full: margin of a full prefill of the text in its new order, in logits.
        spliced: margin over the spliced and repaired cache.
        kl: divergence of the full prefill's next-token distribution from the spliced one's, in nats.
        computed: tokens that were run for the whole besides the chunk's own prefill and its prefix.
    """

    full: float
    spliced: float
    kl: float
    computed: int


@dataclass(frozen=True)
class Cut:
    """A chunk: where it is cut out of a prompt's tokens, where it is put, and how much of it is repaired.

    Attributes:
        start: its first position.
        stop: the position after its last.
        to: position in the prompt without it, before which it is put.
        repair: its first tokens that are run again.
    """

    start: int
    stop: int
    to: int
    repair: int = 0

    @property
    def length(self) -> int:
        """Tokens of the chunk."""
        return self.stop - self.start

    def check(self, length: int) -> None:
        """Refuse a chunk that is no part of the prompt, or that would come after its decision token.

        Args:
            length: tokens of the prompt.

        Raises:
            PkvError: naming what is allowed.
        """
        if not 0 <= self.start < self.stop < length:
            raise PkvError(
                f"the chunk {self.start} to {self.stop - 1} is no part of the prompt's {length} tokens",
                "leave out the last one: the decision is read after it",
            )
        if not 0 <= self.to < length - self.length:
            raise PkvError(
                f"the chunk cannot be put before word {self.to} of the others",
                f"choose a place from 0 to {length - self.length - 1}",
            )


def reordered(ids: Sequence[int], cut: Cut) -> tuple[int, ...]:
    """The prompt with the chunk in its new place."""
    rest = (*ids[: cut.start], *ids[cut.stop :])
    return (*rest[: cut.to], *ids[cut.start : cut.stop], *rest[cut.to :])


class Mover:
    """Moves chunks with one model, and keeps the last full prefills and chunks for other repairs of the same.

    Args:
        runner: of the model.
        tokenizer: of the model.
    """

    def __init__(self, runner: Runner, tokenizer: Any) -> None:
        self._runner, self._tokenizer = runner, tokenizer
        self._known: OrderedDict[Any, tuple[Computed, Chunk]] = OrderedDict()

    def move(
        self, ids: Sequence[int], actions: tuple[int, int], cut: Cut, repairs: Sequence[int], report: Report
    ) -> dict[int, Moved]:
        """The chunk prefilled alone, spliced in and repaired: by number of repaired tokens.

        Args:
            ids: the prompt.
            actions: token ids of both actions.
            cut: the chunk and its place; its own number of repaired tokens is not read.
            repairs: numbers of repaired tokens.
            report: is told how far it is.

        Raises:
            PkvError: the chunk is no part of the prompt, or cannot be moved there.
        """
        cut.check(len(ids))
        report(0, len(repairs) + 1)
        whole, end, runner = reordered(ids, cut), cut.to + cut.length, self._runner
        full, chunk = self._prefilled(whole, tuple(ids[cut.start : cut.stop]))
        expected = float(token_margin(full.logits, actions))
        spliced = splice(runner, full.cache.slice(0, cut.to), chunk)
        found = {}
        for number, repair in enumerate(repairs, 1):
            report(number, len(repairs) + 1)
            k = min(repair, cut.length)
            cache = seam_repair(runner, spliced, (cut.to, end), whole[:end], k).cache if k else spliced
            logits = runner.extend(cache, whole[end:]).logits
            found[repair] = Moved(
                expected,
                float(token_margin(logits, actions)),
                float(kl_divergence(logits, full.logits)),
                k + len(whole) - end,
            )
        return found

    def _prefilled(self, whole: tuple[int, ...], piece: tuple[int, ...]) -> tuple[Computed, Chunk]:
        """The full prefill and the chunk alone."""
        key = whole, piece
        if key not in self._known:
            made = precompile(self._runner, self._tokenizer, piece)
            self._known[key] = self._runner.prefill(whole), made
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[key]
