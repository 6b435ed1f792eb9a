"""What the patching experiment measures: rankings, scores, grid, doses, chains."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments.patching.cases import Cases, arrange, candidates, same_wording
from experiments.patching.paths import Paths, measure_paths
from experiments.patching.ranking import RankedSites, rank_sites
from experiments.patching.scored import Scored, score
from experiments.patching.settings import PatchingSettings
from experiments.patching.subsets import Chains, Doses, Grid, measure_doses, measure_grid, think
from pkv_interp.measure.anchor_ranking import Ranking, make_rankings
from pkv_interp.run.screen import Candidates
from pkv_interp.run.screened import SCORED, Screened
from pkv_interp.run.stage import Stage

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


#: What a record of own pairs says of the parts that it does not have.
WITHOUT_A_RULE = (
    "own pairs: what needs a rule is left out, namely same-conclusion donors and the claims that are tested "
    "against them, doses, places of the field, and chains of thought"
)


@dataclass(frozen=True)
class Measured:
    """All that was measured, and what ranking instances chose.

    Attributes:
        ranked: of discovery cases.
        rankings: by family.
        scored, paths: of held-out cases.
        grids: of the cases on which every cell is patched.
        doses: of the cases that are compared as the prompt grows.
        places: of the same cases as the field is moved; empty where it cannot be.
        chains: of the prompts that ask for a reason first; empty where none was asked for.
        screened: what the cases were chosen from; nothing where the first ones were taken.
    """

    cases: Cases
    ranked: Stage[RankedSites]
    rankings: dict[str, Ranking]
    scored: Stage[Scored]
    paths: Stage[Paths]
    grids: Stage[Grid]
    doses: Stage[Doses]
    places: Stage[Doses]
    chains: Stage[Chains]
    screened: Screened = field(default_factory=Screened)


def measure(session: "Session[PatchingSettings]") -> Measured:
    """Rank positions on some instances, score them on others, and look closer at a few."""
    settings = session.settings
    tried = candidates(settings, session.tokenizer)
    if settings.pairs is not None:
        session.run.remarks.append(WITHOUT_A_RULE)
    per_family = settings.instances if settings.pairs is None else None
    kept = session.right_on_both(
        "screen",
        {
            "discovery": Candidates(tried.discovery, per_family),
            SCORED: Candidates(tried.held_out, per_family, fits=same_wording),
        },
        lambda case: (case,),
    )
    cases, variants = arrange(settings, session.tokenizer, tried, kept.items)
    engine = session.engine
    session.check_engine(cases.ends)
    ranked = session.each("ranking", cases.discovery, lambda case: rank_sites(engine, case), RankedSites)
    rankings = make_rankings(
        cases.discovery, ranked.of(cases.discovery), [case.family for case in cases.held_out]
    )
    scored = session.each(
        "scoring",
        cases.held_out,
        lambda case: score(engine, case, variants.twins.get(case.instance), rankings[case.family], settings),
        Scored,
    )
    paths = session.each("paths", cases.held_out, lambda case: measure_paths(engine, case, settings), Paths)
    grids = session.each("grid", cases.grid, lambda case: measure_grid(engine, case, settings), Grid)
    doses = session.each("dose", variants.doses, lambda case: measure_doses(engine, case), Doses)
    places = session.each("place", variants.places, lambda case: measure_doses(engine, case), Doses)
    chains = session.each("chain", cases.chains, lambda case: think(engine, case, settings), Chains)
    return Measured(cases, ranked, rankings, scored, paths, grids, doses, places, chains, kept.screened)
