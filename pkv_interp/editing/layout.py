"""What a context says: rendered messages, and pieces that were appended after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pkv_interp.editing.text import put
from pkv_interp.prompts.errata import HOISTED
from pkv_interp.prompts.rendering import Head, Renderer, on_new_line


@dataclass(frozen=True)
class Piece:
    """Text after the head, tokenised on its own; ``about`` is the field whose value it gives, if it does."""

    text: str
    ids: tuple[int, ...]
    about: str | None = None


@dataclass(frozen=True)
class Layout:
    """A text and its tokens. It says nothing about a cache, which may be stale.

    Attributes:
        head: the rendered messages.
        values: field name to value, as the text says last.
        pieces: what was appended, in order.
        hoisted: fields whose value stands in a piece and no longer in the head.
    """

    head: Head
    values: Mapping[str, str]
    pieces: tuple[Piece, ...] = ()
    hoisted: frozenset[str] = frozenset()

    @property
    def ids(self) -> tuple[int, ...]:
        """Token ids of the whole context."""
        return self.head.prompt.ids + tuple(token for piece in self.pieces for token in piece.ids)

    @property
    def text(self) -> str:
        """The whole context."""
        return self.head.prompt.text + "".join(piece.text for piece in self.pieces)

    def start_of(self, index: int) -> int:
        """Position of the first token of a piece."""
        return len(self.head.prompt.ids) + sum(len(piece.ids) for piece in self.pieces[:index])

    def notices(self, field: str) -> tuple[int, ...]:
        """Indices of the pieces that give the field's value."""
        return tuple(i for i, piece in enumerate(self.pieces) if piece.about == field)

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """Half-open token span of each field: of its value in the head, or of its line when hoisted."""
        found: dict[str, tuple[int, int]] = {}
        for field in self.values:
            if field in self.hoisted:
                last = self.notices(field)[-1]
                found[field] = (self.start_of(last), self.start_of(last + 1))
            else:
                found[field] = self.head.prompt.spans[field]
        return found

    def appended(self, renderer: Renderer, text: str, about: str | None = None) -> Layout:
        """With more text after it.

        Args:
            renderer: tokenises the text.
            text: exactly as it is to stand.
            about: the field whose value it gives, if it does.
        """
        return replace(self, pieces=(*self.pieces, Piece(text, renderer.after(text), about)))

    def with_value(self, renderer: Renderer, field: str, value: str) -> Layout:
        """With the value in its place in the head and everything else as it stands.

        Args:
            renderer: renders the messages again.
            field: name of the field.
            value: its new value.
        """
        head = renderer.head(put(self.head.messages, field, value))
        return replace(self, head=head, values={**self.values, field: value})

    def with_notice(self, renderer: Renderer, field: str, value: str, wording: str) -> Layout:
        """With a line at the end that gives the value; what stands before it is not touched.

        Args:
            renderer: tokenises the line.
            field: name of the field.
            value: its new value.
            wording: of the erratum.
        """
        line = on_new_line(self.text, renderer.notation.erratum(field, value, wording))
        noted = self.appended(renderer, line, about=field)
        return replace(noted, values={**self.values, field: value})

    def rewritten(self, renderer: Renderer, field: str, value: str) -> Layout:
        """As if the value had always stood in its place: lines that gave another one are left out.

        Args:
            renderer: renders the messages again.
            field: name of the field.
            value: its new value.
        """
        return self._without(field).with_value(renderer, field, value)

    def with_hoist(self, renderer: Renderer, field: str, value: str) -> Layout:
        """With the value in a line at the end, and words that say so in its place.

        Args:
            renderer: renders the messages again.
            field: name of the field.
            value: its new value.
        """
        cleared = self._without(field).with_value(renderer, field, HOISTED)
        moved = cleared.with_notice(renderer, field, value, "bare")
        return replace(moved, hoisted=self.hoisted | {field})

    def _without(self, field: str) -> Layout:
        kept = tuple(piece for piece in self.pieces if piece.about != field)
        return replace(self, pieces=kept, hoisted=self.hoisted - {field})
