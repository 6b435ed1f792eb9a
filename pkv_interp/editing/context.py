"""A prompt with named fields, prefilled once and edited from then on."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Self

from transformers import PreTrainedModel

from pkv_interp.cache import AttentionLayout, FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.picture_runner import with_pictures
from pkv_interp.cache.pictures import Picture
from pkv_interp.cache.state import weights_state_of
from pkv_interp.editing.attention import GivenLayout, attention_of
from pkv_interp.editing.cost import Cost, Stopwatch
from pkv_interp.editing.layout import Layout
from pkv_interp.editing.state import State
from pkv_interp.editing.text import check_field, checked, values_of
from pkv_interp.errors import PkvError
from pkv_interp.prompts.notation import Notation
from pkv_interp.prompts.rendering import Head, Renderer
from pkv_interp.prompts.segments import Message
from pkv_interp.prompts.special import checked_text

#: Layouts of one context whose prefill is kept, the one last used longest.
_KEPT = 4


class EditableContext:
    """A prompt whose fields can be changed in its cache. For any causal language model with KV per token.

    Of a model with a recurrent state nothing is edited in place; what only appends works (erratum, hoist).

    What is cached ends with the last message's text. When a decision is read or text is written, the
    question, what the chat template puts after the message, and the cue come after it; these run each time.
    """

    def __init__(  # noqa: PLR0913 - one argument for each thing that a context is made of
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        messages: Sequence[Message],
        question: str = "",
        cue: str = "Action:",
        chat: bool = True,
        thinking: bool | None = None,
        layout: GivenLayout | None = None,
        pictures: Sequence[Picture] = (),
    ) -> None:
        """Read the messages; nothing is run yet.

        Args:
            model: a Hugging Face causal language model in eval mode; it is never changed.
            tokenizer: its fast tokenizer.
            messages: made with ``system``, ``user``, ``assistant`` and ``field``.
            question: stands in the last message, after everything that is appended to it.
            cue: opens the answer; the decision is the token after it.
            chat: use the chat template where the tokenizer has one.
            thinking: the template's thinking switch, None to leave it alone.
            layout: who sees whom, in tokens of the context as written, or a function from rendered messages,
                which serves values of any length; by default what isolated fields ask.
            pictures: what picture tokens in the messages stand for, in order (``cache.pictures.look``).

        Raises:
            PkvError: messages or text of another type, no field, a field twice, an empty value, a template
                that changes the messages, a model without KV per token or in training mode, or a tokenizer
                without offsets.
        """
        if model.training:
            raise PkvError(f"{type(model).__name__} is in training mode", "call model.eval() first")
        if not tokenizer.is_fast:
            raise PkvError(f"{type(tokenizer).__name__} gives no offsets", "use a fast tokenizer")
        self.runner = with_pictures(Runner.of(model), pictures)
        messages = checked(messages)
        for name, words in (("question", question), ("cue", cue)):
            checked_text(words, f"the {name}")
        self.renderer = Renderer(tokenizer, chat, thinking, question)
        self.question, self.cue = question, cue
        self.read_back: str | None = None
        values = values_of(messages)
        self._layout = Layout(self.renderer.head(messages), values)
        self._attention = layout
        self.attention(self._layout.head)
        self._base: State | None = None
        self._prefilled: dict[Head, FrozenCache] = {}
        self._weights = weights_state_of(model)

    def in_notation(self, notation: Notation) -> Self:
        """This context, whose errata and answers are written in another way; nothing of it is run yet."""
        other = copy(self)
        other.renderer = replace(self.renderer, notation=notation)
        other._base, other._prefilled = None, {}
        return other

    def reading_back(self, field: str | None) -> Self:
        """This context, whose decisions first read a field back: its value is written, then the action.

        The model writes the value out of the cache, one line after ``field:``, so the last block holds it and
        sees the rule. An isolated field, or one whose own columns alone are new, is decided by what was read.

        Args:
            field: its name; None: decisions are read at once.

        Raises:
            PkvError: the context has no such field.
        """
        if field is not None:
            check_field(field, self._layout.values)
        other = copy(self)
        other.read_back, other._base = field, None
        other._prefilled = dict(self._prefilled)
        return other

    @property
    def n_tokens(self) -> int:
        """Tokens of the context as written."""
        return len(self._layout.head.prompt.ids)

    def attention(self, head: Head) -> AttentionLayout | None:
        """Who sees whom in a head of this context; None where every token sees all before it.

        Args:
            head: rendered messages.

        Raises:
            PkvError: the layout that the context was given does not fit, or fields are marked beside it.
        """
        return attention_of(head, self._attention)

    def prefill(self) -> State:
        """The context as written, computed on first use and kept until a weight is replaced or written to."""
        self._forget_other_weights()
        if self._base is None:
            watch = Stopwatch(self.runner.model.device)
            cache, tokens = self.prefilled(self._layout.head)
            cost = Cost(tokens, 1.0, watch.read())
            self._base = State(self, self._layout, cache, "prefill", cost, fresh=True)
        return self._base

    def edit(self, field: str, value: str, method: str = "auto", **options: Any) -> State:
        """``State.edit`` on the context as written.

        Args:
            field: name of the field.
            value: its new value.
            method: a name of ``METHODS``.
            **options: further settings of the method.
        """
        return self.prefill().edit(field, value, method, **options)

    def prefilled(self, head: Head) -> tuple[FrozenCache, int]:
        """The cache of a head, kept for later; and the tokens that had to be run for it now."""
        self._forget_other_weights()
        cache, tokens = self._prefilled.pop(head, None), 0
        if cache is None:
            cache = self.runner.prefill(head.prompt.ids, self.attention(head)).cache
            tokens = len(head.prompt.ids)
        self._prefilled[head] = cache  # dictionaries keep their order: the oldest comes first
        if len(self._prefilled) > _KEPT:
            del self._prefilled[next(iter(self._prefilled))]
        return cache, tokens

    def _forget_other_weights(self) -> None:
        state = weights_state_of(self.runner.model)
        if state != self._weights:
            self._weights, self._base = state, None
            self._prefilled.clear()
