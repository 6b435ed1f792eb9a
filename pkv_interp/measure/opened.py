"""Editing states as bases of traced decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from pkv_interp.editing import Decision, State
from pkv_interp.engine import Engine, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.models.identity import identity_of


def prompt_of(state: State, question: str | None = None, cue: str | None = None) -> tuple[int, ...]:
    """Token ids of the context and of what stands between it and the decision (``State.suffix``)."""
    return (*state.ids, *state.context.renderer.after(state.suffix(question, cue)))


def open_state(
    engine: Engine,
    state: State,
    capture: Iterable[str] = (),
    *,
    question: str | None = None,
    cue: str | None = None,
    written_by: PreTrainedModel | None = None,
) -> Prefill:
    """The decision of ``State.decide`` as a base that ``Engine.decode`` takes.

    Args:
        engine: of the state's model.
        state: after any number of edits; it is not changed.
        capture: as for ``Engine.open``.
        question: instead of the context's.
        cue: instead of the context's.
        written_by: the state's model, where the engine's is another one of the same architecture.

    Raises:
        PkvError: the state is of another model and ``written_by`` does not name it, or as ``Engine.open``.
    """
    writer, reader = state.context.runner.model, engine.loaded.model
    if written_by is None and writer is not reader and identity_of(writer) != identity_of(reader):
        raise PkvError(
            "the state was made by another model than the engine's",
            "pass written_by=state.context.runner.model, or make both of one model",
        )
    if written_by is not None and written_by is not writer and identity_of(written_by) != identity_of(writer):
        raise PkvError("written_by is not the state's model", "pass written_by=state.context.runner.model")
    return engine.open(prompt_of(state, question, cue), state.cache, frozenset(capture), written_by)


@dataclass
class BesideTrace:
    """Decisions of the editing API, each beside its trace.

    Attributes:
        engine: that traces them.
        worst: largest difference of logits so far.
    """

    engine: Engine
    worst: float = 0.0

    def decide(self, state: State, options: Sequence[str]) -> Decision:
        """``State.decide``; the trace of the same decision is run as well, and compared.

        Args:
            state: after any number of edits.
            options: as for ``State.decide``.
        """
        decision = state.decide(options)
        apart = float((open_state(self.engine, state).logits - decision.logits).abs().max())
        self.worst = max(self.worst, apart)
        return decision
