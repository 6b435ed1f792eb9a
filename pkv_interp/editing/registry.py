"""The methods by which a field is edited, by name, with a parameter after an ``@``: ``recompute@8``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any, Literal

from pkv_interp.cache import FrozenCache
from pkv_interp.editing.layout import Layout
from pkv_interp.errors import PkvError
from pkv_interp.names import Amount, method_amount

if TYPE_CHECKING:
    from pkv_interp.editing.diagnostic import Diagnostic
    from pkv_interp.editing.state import State

Placement = Literal["in place", "at the end", "either"]


@dataclass(frozen=True)
class Change:
    """What a method is asked to do.

    Attributes:
        field: name of the field.
        value: its new value.
        method: the method as it was asked for.
        amount: the number after ``@``; infinity for ``all``, None where there is none.
        options: further settings, which the method has said it takes.
    """

    field: str
    value: str
    method: str
    amount: float | None = None
    options: Mapping[str, Any] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method made.

    Attributes:
        layout: what the context says now.
        cache: one column per token of it.
        tokens: tokens run through the whole model.
        partial: work on tokens that were run through a part of the layers, in whole tokens.
        fresh: the cache is that of a prefill of the layout's text.
        prompt_surgery: the prompt was laid out anew.
        setup_tokens: tokens prefilled once for this and later edits.
        setup_milliseconds: wall time of that.
        diagnostic: why ``auto`` chose what it did.
    """

    layout: Layout
    cache: FrozenCache
    tokens: int
    partial: float = 0.0
    fresh: bool = False
    prompt_surgery: bool = False
    setup_tokens: int = 0
    setup_milliseconds: float = 0.0
    diagnostic: Diagnostic | None = None


@dataclass(frozen=True)
class Method:
    """One way to edit.

    Attributes:
        name: as users write it.
        apply: makes the outcome from a state and a change.
        amount: what may stand after ``@``: nothing, a count of tokens, or a share of them.
        required: whether it must.
        any_length: serves values of another token length.
        options: names of further settings.
        placement: where the text gives the value after the edit: in place, at the end, or either.
        summary: first line of the docstring.
    """

    name: str
    apply: Callable[[State, Change], Outcome]
    amount: Amount
    required: bool
    any_length: bool
    options: tuple[str, ...]
    placement: Placement
    summary: str


METHODS: dict[str, Method] = {}


def register(
    name: str,
    *,
    amount: Amount = "none",
    required: bool = True,
    any_length: bool = False,
    options: tuple[str, ...] = (),
    placement: Placement = "either",
) -> Callable[[Callable[[State, Change], Outcome]], Callable[[State, Change], Outcome]]:
    """Put a function among the methods under ``name``.

    Args:
        name: as users write it.
        amount: what may stand after ``@``.
        required: whether it must.
        any_length: serves values of another token length.
        options: names of further settings.
        placement: where the text gives the value after the edit.
    """

    def put(apply: Callable[[State, Change], Outcome]) -> Callable[[State, Change], Outcome]:
        summary = (apply.__doc__ or "").partition("\n")[0]
        METHODS[name] = Method(
            name, apply, amount, required and amount != "none", any_length, options, placement, summary
        )
        return apply

    return put


def any_length() -> str:
    """The methods that write values of another token length, listed."""
    served = {m.name for m in METHODS.values() if m.any_length} - {"auto", "stale"}
    return ", ".join(sorted(served))


def find(method: str, options: Mapping[str, Any]) -> tuple[Method, float | None]:
    """The method and its amount.

    Raises:
        PkvError: an unknown method or option, or an amount that is missing, not wanted or not a number.
    """
    name, amount = method_amount(method, METHODS)
    found = METHODS[name]
    for option in options:
        if option not in found.options:
            takes = ", ".join(found.options) or "no options"
            raise PkvError(f"{name} does not take '{option}'", f"it takes {takes}")
    return found, amount
