"""The published readout of an edit: the last token of the prompt alone, over the edited cache.

Published edits change a cache that holds the whole prompt, its question included, and run the last token
again (arXiv 2606.17107, editing). A context here ends before its question, which runs after every edit and
can read what was edited. With the question kept, its columns stay what they were before the edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pkv_interp.cache import FrozenCache
from pkv_interp.composing.splice import join
from pkv_interp.editing import Decision, State
from pkv_interp.editing.decision import listed, option_ids, read_decision
from pkv_interp.errors import PkvError


@dataclass(frozen=True, eq=False)
class KeptQuestion:
    """The question, template and cue of a prompt, as its prefill before any edit left them.

    Attributes:
        base: the context before any edit, prefilled.
        suffix: text between the context and the decision.
        columns: of the suffix's tokens but the last one; as many columns as these tokens.
        last: id of its last token.
    """

    base: State
    suffix: str
    columns: FrozenCache
    last: int

    @classmethod
    def of(cls, base: State) -> Self:
        """Run the question of a context once.

        Args:
            base: the context, with the cache of a prefill.

        Raises:
            PkvError: the cache may be stale, or nothing stands between the context and the decision.
        """
        if not base.fresh:
            raise PkvError(f"{base!r} has been edited in part", "give the prefilled context")
        suffix = base.suffix()
        *before, last = base.context.renderer.after(suffix)
        asked = base.context.runner.extend(base.cache, before).cache if before else base.cache
        return cls(base, suffix, asked.slice(base.cache.length, asked.length), last)

    def is_kept_by(self, state: State) -> bool:
        """Whether an edit leaves the question's columns as they were.

        It does not where text was appended or laid out anew, for then the question stands at other positions,
        and not where all that depends on the field was run again, for the question is part of that.

        Args:
            state: an edit of ``base``.
        """
        stands = (
            state.layout.pieces == self.base.layout.pieces
            and state.layout.hoisted == self.base.layout.hoisted
            and len(state.ids) == len(self.base.ids)
            and state.suffix() == self.suffix
        )
        return stands and not (state.fresh and state.fields != self.base.fields)

    def decide(self, state: State, options: Sequence[str]) -> Decision:
        """The decision of the last token over an edited cache; the question runs where it is not kept.

        Args:
            state: an edit of ``base``.
            options: at least two words, one token each.

        Raises:
            PkvError: as ``State.decide``.
        """
        if not self.is_kept_by(state):
            return state.decide(options)
        renderer, options = state.context.renderer, listed(options)
        ids = option_ids(renderer, self.suffix, options)
        over = join([state.cache, self.columns])
        return read_decision(renderer, state.context.runner.extend(over, (self.last,)).logits, options, ids)
