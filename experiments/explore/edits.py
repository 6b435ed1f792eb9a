"""Measured after edits: what each method decides, how far it is from a full re-prefill, and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.explore.desk import Report
from experiments.explore.state import Step
from pkv_interp.editing import METHODS, Decision, EditableContext, State
from pkv_interp.errors import PkvError
from pkv_interp.measure.decision import kl_divergence

#: Methods that are tried where none are chosen, and those that can be chosen.
USUAL = (
    "stale",
    "field_only",
    "recompute@8",
    "erratum",
    "field_erratum",
    "hoist",
    "suffix_recompute",
    "full_reprefill",
)
OFFERED = (*USUAL, "cacheblend@0.15", "epic", "oracle_patch@8", "auto")
FULL = "full_reprefill"


@dataclass(frozen=True)
class Tried:
    """A method and what came of it.

    Attributes:
        method: its name, with its amount.
        refused: why it could not be used here; then the rest is empty.
        choice: the action that is preferred.
        margin: first action's logit minus the second's.
        kl: divergence of the full re-prefill's next-token distribution from this one's, in nats.
        tokens: run through the whole model for the edit.
        share: that work as a share of the context's tokens.
        milliseconds: it took, on this machine and this once.
        exact: the cache is that of a prefill of the text.
        setup: tokens prefilled once for this and later edits.
    """

    method: str
    refused: str = ""
    choice: str = ""
    margin: float = 0.0
    kl: float = 0.0
    tokens: int = 0
    share: float = 0.0
    milliseconds: float = 0.0
    exact: bool = False
    setup: int = 0


@dataclass(frozen=True)
class Compared:
    """One change by several methods.

    Attributes:
        before: choice and margin before the change.
        tried: by method, in the order asked for.
    """

    before: tuple[str, float]
    tried: tuple[Tried, ...]


@dataclass(frozen=True)
class Link:
    """A step of a chain, and the state after it beside a full re-prefill of all values so far."""

    step: Step
    after: Tried
    full: tuple[str, float]


def options_of(method: str, actions: Sequence[str], wording: str) -> dict[str, object]:
    """The options that a method takes out of those that the page has."""
    takes = METHODS[method.partition("@")[0]].options if method.partition("@")[0] in METHODS else ()
    has = {"wording": wording, "options": tuple(actions)}
    return {name: value for name, value in has.items() if name in takes}


class Change:
    """One change of a context by any methods; what was tried with one wording is not run again.

    Args:
        context: the clean prompt.
        field: to be changed.
        value: its new value.
        actions: the first prompt's, then the other's.
    """

    def __init__(self, context: EditableContext, field: str, value: str, actions: Sequence[str]) -> None:
        self._context, self._field, self._value, self._actions = context, field, value, actions
        self._full: tuple[State, Decision] | None = None
        self._tried: dict[str, Tried] = {}

    def compare(self, methods: Sequence[str], wording: str, report: Report) -> Compared:
        """The change by several methods, each from the context as written.

        Args:
            methods: names, with their amounts.
            wording: of errata.
            report: is told how far it is.

        Raises:
            PkvError: the value cannot be written at all, by a full re-prefill either.
        """
        report(0, len(methods) + 1)
        base = self._context.prefill()
        before = base.decide(self._actions)
        if self._full is None:
            state = base.edit(self._field, self._value, FULL)
            self._full = state, state.decide(self._actions)
        found = []
        for number, method in enumerate(methods, 1):
            report(number, len(methods) + 1)
            found.append(self._try(base, self._full, method, wording))
        return Compared((before.choice, before.margin), tuple(found))

    def _try(self, base: State, full: tuple[State, Decision], method: str, wording: str) -> Tried:
        options = options_of(method, self._actions, wording)
        key = f"{method} {options}"
        if key not in self._tried:
            try:
                made = full[0] if method == FULL else base.edit(self._field, self._value, method, **options)
                decision = full[1] if method == FULL else made.decide(self._actions)
                self._tried[key] = _tried(method, made, decision, full[1])
            except PkvError as error:
                self._tried[key] = Tried(method, refused=str(error))
        return self._tried[key]


def follow(
    context: EditableContext, chain: Sequence[Step], actions: Sequence[str], wording: str, report: Report
) -> tuple[Link, ...]:
    """A chain of edits, each on the state that the one before it has left.

    Args:
        context: the clean prompt.
        chain: its steps.
        actions: the first prompt's, then the other's.
        wording: of errata.
        report: is told how far it is.
    """
    state, reference, found = context.prefill(), context.prefill(), []
    for number, step in enumerate(chain):
        report(number, len(chain))
        try:
            reference = reference.edit(step.field, step.value, FULL)
            state = state.edit(
                step.field, step.value, step.method, **options_of(step.method, actions, wording)
            )
        except PkvError as error:
            found.append(Link(step, Tried(step.method, refused=str(error)), ("", 0.0)))
            break
        full = reference.decide(actions)
        after = _tried(step.method, state, state.decide(actions), full)
        found.append(Link(step, after, (full.choice, full.margin)))
    return tuple(found)


def _tried(method: str, state: State, decision: Decision, full: Decision) -> Tried:
    return Tried(
        method,
        choice=decision.choice,
        margin=decision.margin,
        kl=float(kl_divergence(decision.logits, full.logits)),
        tokens=state.cost.tokens,
        share=state.cost.share,
        milliseconds=state.cost.milliseconds,
        exact=state.exact,
        setup=state.cost.setup_tokens,
    )
