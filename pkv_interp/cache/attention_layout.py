"""Who sees whom in a prompt: an attention pattern under which an edit or a splice is exact by construction.

A mutable span may be *isolated*: its columns are seen by its own tokens and by the last block (the question,
whatever is appended later, the answer), and by nothing in between. A new value then changes its own columns
and no others. A moved chunk may be *blind*: its tokens see each other alone, so that where it stands changes
nothing but the turn of its keys. *Links* are tokens after a rule that read the isolated spans before them and
are read like these: by the last block alone. They are run again with the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from pkv_interp.errors import PkvError
from pkv_interp.indices import whole

Span = tuple[int, int]
_KINDS = ("isolated", "links", "blind")


@dataclass(frozen=True)
class AttentionLayout:
    """Spans are half open, of token positions, ascending; nothing is said of what no span names.

    Attributes:
        end: first position of the last block, which sees everything before it.
        isolated: seen by themselves and by the last block, and by links.
        links: see everything before them; seen by themselves, by later links and by the last block.
        blind: their tokens see nothing before the span.
    """

    end: int
    isolated: tuple[Span, ...] = ()
    links: tuple[Span, ...] = ()
    blind: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "end", whole(self.end, "the start of the last block", 0))
        for kind in _KINDS:
            object.__setattr__(self, kind, _checked(kind, getattr(self, kind), self.end))
        _checked("isolated and links", sorted(self.isolated + self.links), self.end)
        for start, stop in self.isolated + self.links:
            if any(start < last and first < stop and not first <= start <= stop <= last
                   for first, last in self.blind):  # fmt: skip
                raise PkvError(
                    f"the span {start}:{stop} lies across the end of a blind one",
                    "let it lie inside the blind span, or outside",
                )

    @property
    def first_restricted(self) -> int:
        """The first position whose token does not see everything before it; ``end`` where there is none."""
        starts = [stop for _, stop in self.isolated + self.links] + [start for start, _ in self.blind]
        return min([*starts, self.end])

    def hidden(self, queries: Int[Tensor, " n"], columns: Int[Tensor, " m"]) -> Bool[Tensor, "n m"]:
        """Which columns the tokens at ``queries`` may not see, causality and windows apart.

        Args:
            queries: positions.
            columns: positions.
        """
        asks, stands = queries[:, None], columns[None]
        last = asks >= self.end
        private = torch.zeros(len(queries), len(columns), dtype=torch.bool, device=queries.device)
        for start, stop in self.isolated + self.links:
            private |= _within(stands, start, stop) & ~_within(asks, start, stop)
        reads = last.clone()
        for start, stop in self.links:
            reads |= _within(asks, start, stop)
        hidden = private & ~reads
        for start, stop in self.blind:
            hidden |= _within(asks, start, stop) & ~_within(stands, start, stop) & ~last
        return hidden

    def isolates(self, positions: Iterable[int]) -> bool:
        """Whether a change of the tokens at ``positions`` is seen by their spans and by links alone."""
        return all(any(start <= at < stop for start, stop in self.isolated) for at in positions)

    def read_by(self, positions: Iterable[int]) -> list[int]:
        """What reads isolated tokens before the last block: what follows in their spans, and links."""
        changed = sorted(positions)
        found = {at for start, stop in self.links for at in range(start, stop) if start > changed[0]}
        for start, stop in self.isolated:
            first = next((at for at in changed if start <= at < stop), stop)
            found.update(range(first, stop))
        return sorted(found - set(changed))

    def moved(self, by: int) -> AttentionLayout:
        """The same ``by`` positions further on; what would come to lie before position 0 is cut off.

        Args:
            by: positions, either way.
        """
        return AttentionLayout(max(self.end + by, 0), *(_moved(getattr(self, kind), by) for kind in _KINDS))

    def within(self, start: int, stop: int) -> AttentionLayout:
        """With the spans that lie inside ``start:stop``, cut where they lie across; the end as it is."""
        kept = {
            kind: tuple(
                (max(a, start), min(b, stop)) for a, b in getattr(self, kind) if a < stop and start < b
            )
            for kind in _KINDS
        }
        return replace(self, **kept)


def joined(parts: Sequence[tuple[int, AttentionLayout | None]], length: int) -> AttentionLayout | None:
    """The layout of caches side by side; None where none of them has one.

    Args:
        parts: the length and the layout of each, in order.
        length: of the whole; where no part's last block begins later, it begins there.
    """
    if all(layout is None for _, layout in parts):
        return None
    at, end = 0, length
    spans: dict[str, tuple[Span, ...]] = {kind: () for kind in _KINDS}
    for columns, layout in parts:
        if layout is not None:
            mine = layout.within(0, columns).moved(at)
            end = max(end, mine.end)
            spans = {kind: spans[kind] + getattr(mine, kind) for kind in _KINDS}
        at += columns
    return AttentionLayout(end, **spans)


def one_layout(one: AttentionLayout | None, other: AttentionLayout | None) -> AttentionLayout | None:
    """The layout that two caches share.

    Raises:
        PkvError: they were made under different ones.
    """
    if one != other:
        raise PkvError(
            "the two caches were made under different attention layouts", "prefill both under one layout"
        )
    return one


def _within(at: Int[Tensor, "a b"], start: int, stop: int) -> Bool[Tensor, "a b"]:
    return (at >= start) & (at < stop)


def _moved(spans: Sequence[Span], by: int) -> tuple[Span, ...]:
    return tuple((max(start + by, 0), stop + by) for start, stop in spans if stop + by > 0)


def _checked(kind: str, spans: Iterable[Span], end: int) -> tuple[Span, ...]:
    """The spans as a tuple of pairs of whole numbers.

    Raises:
        PkvError: one is empty, two overlap, they do not ascend, or one lies in the last block.
    """
    found = tuple((whole(start, "a span's start", 0), whole(stop, "a span's stop")) for start, stop in spans)
    flat = [at for span in found for at in span]
    if flat != sorted(flat) or any(start == stop for start, stop in found):
        raise PkvError(
            f"the {kind} spans {list(found)} do not follow one another", "give half-open spans, in order"
        )
    if flat and flat[-1] > end:
        raise PkvError(
            f"the {kind} span {found[-1][0]}:{found[-1][1]} reaches into the last block, from {end} on",
            "let the last block begin after it",
        )
    return found
