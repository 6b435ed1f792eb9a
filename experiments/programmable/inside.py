"""What a model's decisions rest on, stage by stage: conflicts, hops, what can be decoded, closed paths."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.programmable.cases import Cases
from experiments.programmable.closing import ClosedMargins, closed_of
from experiments.programmable.conflict import ConflictMargins, conflict_of
from experiments.programmable.decoding import Decodable, QuadStates, decode, probed_layers, states_of
from experiments.programmable.hops import HopMargins, hops_of
from experiments.programmable.settings import ProgrammableSettings
from pkv_interp.engine import Engine

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Inside:
    """All of one model.

    Attributes:
        conflict: field pairs of all held-out families.
        hops: field pairs outside the template, in the order of the cases.
        leak: largest difference that an isolated field's value makes before the question, over quads.
        decodable: what probes read.
        closed: field pairs of a few families.
    """

    conflict: list[ConflictMargins]
    hops: list[HopMargins]
    leak: float
    decodable: Decodable
    closed: list[ClosedMargins]


def measure_inside(
    session: "Session[ProgrammableSettings]", engine: Callable[[], Engine], role: str, cases: Cases
) -> Inside:
    """Every stage of one model.

    Args:
        session: of the run.
        engine: loads the model when a stage first needs it.
        role: names the stages.
        cases: of the run.
    """
    settings = session.settings
    hops = session.each(f"{role}/hops", cases.hops, lambda case: hops_of(engine(), case), HopMargins)
    layers = probed_layers(settings.probe_layers, session.spec.n_layers)
    states = session.each(
        f"{role}/states", cases.quads, lambda quad: states_of(engine(), quad, layers), QuadStates
    ).of(cases.quads)
    families = [quad.family for quad in cases.quads]
    # The same shuffles for every model.
    decodable = session.once(
        f"{role}/decodable",
        lambda: decode(
            states,
            families,
            layers,
            settings.probe_folds,
            [session.rng(f"shuffle {at}") for at in range(settings.probe_shuffles)],
        ),
        Decodable,
    )
    closed = session.each(
        f"{role}/paths",
        cases.closed,
        lambda case: closed_of(engine(), case, settings.seed, settings.random_draws),
        ClosedMargins,
    ).of(cases.closed)
    return Inside(
        measure_conflict(session, engine, role, cases),
        hops.of(cases.hops),
        max(one.leak for one in states),
        decodable,
        closed,
    )


def measure_conflict(
    session: "Session[ProgrammableSettings]", engine: Callable[[], Engine], name: str, cases: Cases
) -> list[ConflictMargins]:
    """The stage on conflicts, which is all that a dose of training is measured on.

    Args:
        session: of the run.
        engine: loads the model when the stage first needs it.
        name: of the role or the dose.
        cases: of the run.
    """
    strengths = session.settings.mixing
    return session.each(
        f"{name}/conflict",
        cases.pairs,
        lambda case: conflict_of(engine(), case, strengths),
        ConflictMargins,
    ).of(cases.pairs)


def check_inside(
    session: "Session[ProgrammableSettings]", found: dict[str, Inside], notes_only: dict[str, list[float]]
) -> None:
    """Stop where an answer that is known is missed, on any model.

    Args:
        session: of the run.
        found: by role.
        notes_only: margins of the same pairs with the clean notes patched in, by role.

    Raises:
        ControlFailure: an error is too large.
    """
    allowed = session.tolerance.logits
    every = found.values()
    ends = [
        max(abs(one.mixed[0] - one.corrupt), abs(one.mixed[-1] - whole))
        for role, mine in found.items()
        for one, whole in zip(mine.conflict, notes_only[role], strict=True)
    ]
    session.control(
        "conflict_ends_equal_patches", max(ends), 0.0, allowed,
        f"logits, notes at strength 0 and 1 against none and all patched in, {len(ends)} pairs",
    )  # fmt: skip
    apart = [one.apart for mine in every for one in mine.hops]
    session.control(
        "isolation_equals_knockout", max(apart), 0.0, allowed,
        f"logits, a prefill under isolation against one with these looks knocked out, {len(apart)} prompts",
    )  # fmt: skip
    session.control(
        "isolated_field_leaves_no_trace", max(mine.leak for mine in every), 0.0, allowed,
        "of the residual stream, what an isolated field's value changes before the question, all layers",
    )  # fmt: skip
    cut = [one.cut_off for mine in every for one in mine.closed]
    session.control(
        "cut_off_field_leaves_no_gap", max(cut), 0.0, allowed,
        f"logits between both prompts, the field hidden from all that follows it, {len(cut)} pairs",
    )  # fmt: skip
