"""A context and the cache that stands for it, after any number of edits. States are never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from pkv_interp.cache import FrozenCache
from pkv_interp.editing import generation
from pkv_interp.editing.cost import Cost, Stopwatch
from pkv_interp.editing.decision import Decision, listed, option_ids, read_decision
from pkv_interp.editing.diagnostic import Diagnostic
from pkv_interp.editing.generation import Generation
from pkv_interp.editing.layout import Layout
from pkv_interp.editing.registry import Change, Placement, find
from pkv_interp.editing.text import check_field, check_value
from pkv_interp.errors import PkvError
from pkv_interp.prompts.readout import read_back_cue
from pkv_interp.prompts.rendering import on_new_line
from pkv_interp.prompts.special import checked_text

if TYPE_CHECKING:
    from pkv_interp.editing.context import EditableContext

#: Tokens by which a value that is read back may be longer than the one in the text.
_LONGER = 4


@dataclass(frozen=True, eq=False, repr=False)
class State:
    """One version of a context.

    Attributes:
        context: what it is a version of.
        layout: its text and tokens.
        cache: one column per token; what it holds may be stale, as the method of the last edit has it.
        method: how it was made from the state before.
        cost: of that step.
        total: of all steps since the prefill, this one included.
        diagnostic: why ``auto`` chose the method, where it was asked.
        fresh: the cache is that of a prefill of the text, as far as the methods used can tell.
    """

    context: EditableContext
    layout: Layout
    cache: FrozenCache
    method: str
    cost: Cost
    total: Cost = Cost()
    diagnostic: Diagnostic | None = None
    fresh: bool = False

    def __repr__(self) -> str:
        return f"State({dict(self.fields)}, by {self.method}, {self.cache.length} tokens)"

    @property
    def ids(self) -> tuple[int, ...]:
        """Token ids of the context, one per column."""
        return self.layout.ids

    @property
    def text(self) -> str:
        """The context as it is written now."""
        return self.layout.text

    @property
    def fields(self) -> Mapping[str, str]:
        """The value of each field, as the text says last."""
        return self.layout.values

    @property
    def spans(self) -> Mapping[str, tuple[int, int]]:
        """Half-open token span of each field's value in its place."""
        return self.layout.spans

    @property
    def exact(self) -> bool:
        """Whether the cache is that of a prefill of the text, under its attention layout."""
        return self.fresh

    def edit(self, field: str, value: str, method: str = "auto", **options: Any) -> State:
        """A new state in which ``field`` has another value; this one stays as it is.

        Args:
            field: name of the field.
            value: its new value.
            method: a name of ``METHODS``, with an amount where it takes one (``recompute@8``).
            options: further settings of the method.

        A value that the field has already gives this state at no cost, unless the cache may be stale or the
        method would lay the text out otherwise (hoist; a re-prefill that leaves errata out): then it runs.

        Raises:
            PkvError: an unknown field, method or option, an empty value, an amount out of range, or a value
                of a length that the method cannot serve.
        """
        check_field(field, self.fields)
        found, amount = find(method, options)
        stands = check_value(field, value) == self.fields[field] and self._stands(field, found.placement)
        if stands and self.fresh:
            return replace(self, cost=Cost(), diagnostic=None)
        watch = Stopwatch(self.cache.device)
        made = found.apply(self, Change(field, value, method, amount, options))
        elapsed = watch.read()
        cost = Cost(
            made.tokens,
            (made.tokens + made.partial) / made.cache.length,
            elapsed - made.setup_milliseconds,
            made.prompt_surgery,
            made.setup_tokens,
            made.setup_milliseconds,
        )
        return State(
            self.context,
            made.layout,
            made.cache,
            method,
            cost,
            self.total + cost,
            made.diagnostic,
            made.fresh,
        )

    def _stands(self, field: str, placement: Placement) -> bool:
        """Whether the field's value is given where a method would put it."""
        hoisted = field in self.layout.hoisted
        if placement == "at the end":
            return hoisted
        return placement == "either" or not (hoisted or self.layout.notices(field))

    def append(self, text: str) -> State:
        """A new state with more text at the end of the last message, exactly as given.

        Raises:
            PkvError: there is no text, or something else.
        """
        if not checked_text(text, "the text to append"):
            raise PkvError("an empty text was to be appended", "give some text")
        watch = Stopwatch(self.cache.device)
        layout = self.layout.appended(self.context.renderer, text)
        ids = layout.pieces[-1].ids
        cache = self.context.runner.extend(self.cache, ids).cache
        cost = Cost(len(ids), len(ids) / cache.length, watch.read())
        return State(self.context, layout, cache, "append", cost, self.total + cost, fresh=self.fresh)

    def suffix(self, question: str | None = None, cue: str | None = None) -> str:
        """What stands after the context when a decision is read: question, template, cue.

        Raises:
            PkvError: all of them are empty, or the template changes the end of the last message.
        """
        asked = self.context.question if question is None else checked_text(question, "the question")
        opened = self.context.cue if cue is None else checked_text(cue, "the cue")
        text = on_new_line(self.text, asked)
        added = "".join(piece.text for piece in self.layout.pieces) + text
        text += self.context.renderer.tail(self.layout.head, added) + opened
        if not text:
            raise PkvError("nothing stands between the context and the decision", "give a question or a cue")
        return text

    def logits(self, question: str | None = None, cue: str | None = None) -> Float[Tensor, " vocab"]:
        """What the model says after the suffix, in float32, and after a value that it reads back first."""
        return self._said(question, cue)[0]

    def decide(self, options: Sequence[str], question: str | None = None, cue: str | None = None) -> Decision:
        """The model's choice between options that are one token each.

        In a context that reads a field back, the model writes its value first.

        Args:
            options: at least two.
            question: instead of the context's.
            cue: instead of the context's.

        Raises:
            PkvError: fewer than two options, one that is not a single token there, or two that share theirs.
        """
        renderer, options = self.context.renderer, listed(options)
        logits, suffix, value = self._said(question, cue)
        ids = option_ids(renderer, suffix, options)
        return replace(read_decision(renderer, logits, options, ids), value=value)

    def reading_back(self, field: str | None) -> State:
        """This state, whose decisions read a field back first; see ``EditableContext.reading_back``."""
        return replace(self, context=self.context.reading_back(field))

    def read(self, field: str, question: str | None = None) -> str:
        """A field's value as the model writes it out of this cache: one line, greedy.

        It is cut where it is four tokens longer than the value in the text; a model that reads ends its line.

        Args:
            field: its name.
            question: instead of the context's.

        Raises:
            PkvError: the context has no such field.
        """
        return self._read(
            self.cache, self.context.renderer.after(self.suffix(question, read_back_cue(field))), field
        )

    def _read(self, cache: FrozenCache, ids: tuple[int, ...], field: str) -> str:
        """The line that the model writes after a field's cue, the last of ``ids``."""
        renderer = self.context.renderer
        most = len(renderer.after(f" {self.fields[check_field(field, self.fields)]}")) + _LONGER
        written = generation.generate(self.context.runner, renderer.tokenizer, cache, ids, most, stop="\n")
        return written.text.partition("\n")[0].strip()

    def _said(self, question: str | None, cue: str | None) -> tuple[Float[Tensor, " vocab"], str, str | None]:
        """Logits at a decision, what stands before it, and the value that was read back, where one is."""
        field, after, runner = self.context.read_back, self.context.renderer.after, self.context.runner
        if field is None:
            suffix = self.suffix(question, cue)
            return runner.extend(self.cache, after(suffix)).logits, suffix, None
        check_field(field, self.fields)
        opened = self.context.cue if cue is None else checked_text(cue, "the cue")
        asked = after(self.suffix(question, read_back_cue(field)))
        # The question runs once: its last token runs again, before the value and before the answer.
        cache = runner.extend(self.cache, asked[:-1]).cache if asked[1:] else self.cache
        value = self._read(cache, asked[-1:], field)
        suffix = self.suffix(question, read_back_cue(field, value, opened))
        ids, known = after(suffix), len(asked) - 1
        if ids[:known] != asked[:-1]:  # the tokenizer joins the cue with what follows it
            cache, known = self.cache, 0
        return runner.extend(cache, ids[known:]).logits, suffix, value

    def generate(
        self,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        question: str | None = None,
        cue: str | None = None,
        stop: str | Sequence[str] = (),
    ) -> Generation:
        """Text that the model writes after the suffix; see ``generation.generate``.

        Args:
            max_new_tokens: most new tokens.
            temperature: 0 takes the token of largest logit; above it, tokens are drawn.
            seed: of the draws.
            question: instead of the context's.
            cue: instead of the context's.
            stop: one text or several at which to stop.
        """
        return generation.generate(
            self.context.runner,
            self.context.renderer.tokenizer,
            self.cache,
            self.context.renderer.after(self.suffix(question, cue)),
            max_new_tokens,
            generation.Sampling(temperature, seed),
            stop,
        )
