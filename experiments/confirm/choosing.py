"""What is ranked on packaged discovery families: read heads, and labels of notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.confirm.cases import Cases
from experiments.confirm.edits import learn_effects
from experiments.confirm.found import Chosen
from experiments.confirm.items import QuadAndTwin
from experiments.confirm.pairs import RankedHeads, choose_heads, sweep_heads
from experiments.confirm.parts import EDITS, POLARITY, wanted
from experiments.confirm.quads import RankedNotes, choose_labels, sweep_notes
from experiments.confirm.screening import Tries, try_out
from pkv_interp.run.preregistration import Preregistration
from pkv_interp.run.screen import first_of_each
from pkv_interp.tasks import Case
from pkv_interp.tasks.quads import Quad

if TYPE_CHECKING:
    from experiments.confirm.settings import ConfirmSettings
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Ranking:
    """What ranks.

    Attributes:
        heads: pairs whose heads are swept.
        edits: field pairs whose positions are swept.
        quads: whose positions are swept, and on which probes are trained.
        tries: what they were chosen from, by kind; none where pairs are not screened.
    """

    heads: list[Case]
    edits: list[Case]
    quads: list[Quad]
    tries: dict[str, Tries]


def to_rank(session: "Session[ConfirmSettings]", cases: Cases, plan: Preregistration) -> Ranking:
    """The pairs of discovery families that rank; where pairs are screened, those right on both sides."""
    named, sizes, tries = session.settings.named, plan.sizes, dict[str, Tries]()
    field, polarity, quads = cases.ranking_field, cases.ranking_polarity, cases.ranking_quads
    if named.screened:
        most = max(sizes.ranking_pairs, sizes.ranking_edits)
        field, tries["field"] = try_out(session, "decided ranking field", field, most)
        polarity, tries["polarity"] = try_out(session, "decided ranking polarity", polarity, most)
        quads, tries["quads"] = try_out(session, "decided ranking quads", quads, sizes.ranking_quads)
    parts = wanted(plan, session.settings.model.name)
    heads = (field if named.flip == "field" else polarity) if POLARITY in parts else []
    return Ranking(
        [one.case for one in first_of_each(heads, sizes.ranking_pairs)],
        [one.case for one in first_of_each(field, sizes.ranking_edits)] if EDITS in parts else [],
        [one.quad for one in quads],
        {kind: one for kind, one in tries.items() if one.found},
    )


def choose(
    session: "Session[ConfirmSettings]",
    ranking: Ranking,
    scored: Sequence[QuadAndTwin],
    plan: Preregistration,
) -> Chosen:
    """Everything that is chosen, on packaged discovery families; nothing where nothing ranks.

    Args:
        session: of the run.
        ranking: what ranks.
        scored: quads whose prompts are looked at for where labels stand.
        plan: how many are chosen.
    """
    engine, sizes = session.engine, plan.sizes
    heads = session.each("heads", ranking.heads, lambda case: sweep_heads(engine, case), RankedHeads).all()
    notes, after_field = (
        session.each(stage, mine, lambda case: sweep_notes(engine, case), RankedNotes).all()
        for stage, mine in (
            ("notes", [quad.polarity for quad in ranking.quads]),
            ("notes after the field", ranking.edits),
        )
    )
    rng = session.rng("read heads")
    return Chosen(
        choose_heads(heads, sizes.read_heads, sizes.random_sets, rng) if heads else None,
        choose_labels(ranking.quads, notes, scored, sizes.labels) if notes else None,
        learn_effects(ranking.edits, after_field) if after_field else {},
    )
