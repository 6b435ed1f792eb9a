"""What the experiment measures: the same edits, splices and pairs on every model that there is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.programmable.cases import Cases, build_cases
from experiments.programmable.conflict import ConflictMargins
from experiments.programmable.cost import Costs, edit_costs
from experiments.programmable.drifting import Drift, drift
from experiments.programmable.edits import EditMargins, edit_margins, long_margins
from experiments.programmable.inside import Inside, check_inside, measure_conflict, measure_inside
from experiments.programmable.joining import Joins, join_costs
from experiments.programmable.mechanism import HeadMargins, PartMargins, heads_of, parts_of
from experiments.programmable.settings import BASE, GATE, PROGRAMMABLE, ProgrammableSettings
from experiments.programmable.splices import SpliceMargins, splice_margins
from experiments.programmable.weights import ChatLoss, Replies, Weights
from pkv_interp.editing import State
from pkv_interp.measure.edit_ranking import (
    AttentionScores,
    learn_attention,
    most_attended,
    score_attention,
)
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.tasks import Case
from pkv_interp.training.probes import seen_in_training

if TYPE_CHECKING:
    from pkv_interp.run.session import Session

#: By place of the field and family, the mean attention to each anchor.
Attention = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class RoleMeasured:
    """All of one model.

    Attributes:
        edits: short ones, then long ones.
        splices: policies moved, in short prompts.
        drifts: many edits one after the other.
        parts: field pairs of held-out families.
        heads: polarity pairs of discovery families.
        chat: loss on held-out chats; None where none were asked for.
        inside: what its decisions rest on.
    """

    edits: list[EditMargins]
    splices: list[SpliceMargins]
    drifts: list[Drift]
    parts: list[PartMargins]
    heads: list[HeadMargins]
    chat: ChatLoss | None
    inside: Inside


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        pairs: field pairs that parts of the cache and conflicts were measured on.
        hops: field pairs outside the template.
        closed: of the pairs, those that paths were closed in.
        roles: by role, base and gate first.
        absent: roles of which there is no adapter.
        costs: of edits, by the run's own model: they do not depend on what weights have learnt.
        joins: of prompts with many chunks, by the same model.
        doses: conflicts of adapters of more and more training, in the order that they were given.
        criteria: text of the preregistration.
    """

    pairs: list[Case]
    hops: list[Case]
    closed: list[Case]
    roles: dict[str, RoleMeasured]
    absent: list[str]
    costs: list[Costs]
    joins: list[Joins]
    doses: dict[str, list[ConflictMargins]]
    criteria: str


def measure(session: "Session[ProgrammableSettings]") -> Measured:
    """Measure every role in turn, each on the same cases."""
    settings = session.settings
    cases = build_cases(settings, session.tokenizer)
    if seen := seen_in_training(settings.world):
        session.run.remarks.append(
            f"the training uses words of {', '.join(seen)}: their accuracy says little about new domains"
        )
    session.check_engine([cases.pairs[0], cases.pairs[-1]])
    weights = Weights(session)
    replies = session.once("chats", weights.replies, Replies)
    attention = {
        place: learn_attention(
            pairs,
            session.each(
                f"ranking {place}", pairs, lambda case: score_attention(session.engine, case), AttentionScores
            ).of(pairs),
        )
        for place, pairs in cases.attended.items()
    }
    roles = {
        role: _role(session, weights, role, cases, replies, attention if role == GATE else None)
        for role in weights.roles
    }
    doses = {
        name: measure_conflict(session, lambda name=name: weights.engine(name), name, cases)
        for name in weights.doses
    }
    early = cases.of_place("early")
    joined = early[: settings.join_families]
    joins = session.each(
        "join",
        joined,
        # Every conversation begins with its own policy, so that no two have the same chunks.
        lambda scene: join_costs(session.loaded, scene, _from(early, scene), settings.join_chunks),
        Joins,
    ).of(joined)
    _control(session, roles, joins)
    check_inside(
        session,
        {role: mine.inside for role, mine in roles.items()},
        {role: [one.parts["notes_only"] for one in mine.parts] for role, mine in roles.items()},
    )
    costs = session.each(
        "cost",
        cases.of_place("early", settings.cost_families),
        lambda scene: edit_costs(
            session.loaded,
            scene,
            settings.links,
            settings.cost_edits,
            weights.loaded(PROGRAMMABLE) if PROGRAMMABLE in roles else None,
        ),
        Costs,
    ).all()
    absent = [role for role, adapter in settings.given.items() if adapter is None]
    for role in absent:
        session.run.remarks.append(f"no {role} adapter was given: its rows and headlines are withheld")
    return Measured(
        pairs=cases.pairs,
        hops=cases.hops,
        closed=cases.closed,
        roles=roles,
        absent=absent,
        costs=list(costs),
        joins=list(joins),
        doses=doses,
        criteria=settings.preregistration.path.read_text("utf-8"),
    )


def _from(scenes: Sequence[EditScene], first: EditScene) -> list[EditScene]:
    """The scenes in a circle, one of them first."""
    at = scenes.index(first)
    return [*scenes[at:], *scenes[:at]]


def _role(
    session: "Session[ProgrammableSettings]",
    weights: Weights,
    role: str,
    cases: Cases,
    replies: Replies,
    attention: Attention | None,
) -> RoleMeasured:
    """One model; what is common today is measured where positions are ranked by its attention."""
    settings = session.settings
    links = settings.links if role == PROGRAMMABLE else 0  # words that no other model was trained with

    def order(scene: EditScene) -> Callable[[State], list[int]] | None:
        if attention is None:
            return None
        case, ranked = cases.source.matching_case(scene), attention[scene.place][scene.family]
        return lambda state: most_attended(state, scene, case, ranked)

    short = session.each(
        f"{role}/edits",
        cases.short,
        lambda scene: edit_margins(weights.loaded(role), scene, links, order(scene)),
        EditMargins,
    ).of(cases.short)
    longer = [] if role == BASE else cases.long  # which does not follow the rules of short ones
    long = session.each(
        f"{role}/long",
        longer,
        lambda scene: long_margins(weights.loaded(role), scene, links),
        EditMargins,
    ).of(longer)
    splices = session.each(
        f"{role}/splices",
        cases.short,
        lambda scene: splice_margins(weights.loaded(role), scene, links),
        SpliceMargins,
    ).of(cases.short)
    chained = cases.of_place("early", settings.drift_families)
    drifts = session.each(
        f"{role}/drift",
        chained,
        lambda scene: drift(weights.loaded(role), scene, links, settings.drift_edits),
        Drift,
    ).of(chained)
    parts = session.each(
        f"{role}/parts", cases.pairs, lambda case: parts_of(weights.engine(role), case), PartMargins
    ).of(cases.pairs)
    heads = session.each(
        f"{role}/heads", cases.ranking, lambda case: heads_of(weights.engine(role), case), HeadMargins
    ).of(cases.ranking)
    chat = None
    if replies.chats:
        chat = session.once(f"{role}/chat loss", lambda: weights.chat_loss(role, replies), ChatLoss)
    inside = measure_inside(session, lambda: weights.engine(role), role, cases)
    return RoleMeasured([*short, *long], splices, drifts, parts, heads, chat, inside)


def _control(
    session: "Session[ProgrammableSettings]", roles: dict[str, RoleMeasured], joins: Sequence[Joins]
) -> None:
    """Stop where what is exact by construction is not: on every model, edits and splices.

    Raises:
        ControlFailure: an error is too large.
    """
    edits = [one.apart for mine in roles.values() for one in mine.edits if one.apart is not None]
    moved = [one.apart for mine in roles.values() for one in mine.splices]
    moved += [one.apart for join in joins for one in join.counts]
    allowed = session.tolerance.logits
    session.control(
        "isolated_edit_equals_prefill", max(edits), 0.0, allowed,
        f"logits, an isolated field's edit against a prefill under its pattern, {len(edits)} short prompts",
    )  # fmt: skip
    session.control(
        "blind_splice_equals_prefill", max(moved), 0.0, allowed,
        f"logits, a spliced blind chunk against a prefill under its pattern, {len(moved)} splices",
    )  # fmt: skip
