"""What the confirmatory run measures: competence first, then ranking on discovery families, then scores."""

from typing import TYPE_CHECKING

from experiments.confirm.about import competent
from experiments.confirm.cases import build_cases
from experiments.confirm.choosing import choose, to_rank
from experiments.confirm.found import Measured
from experiments.confirm.refusals import refuse_loaded
from experiments.confirm.scoring import Scored, score
from experiments.confirm.screening import Tries, try_out
from experiments.confirm.settings import ConfirmSettings
from pkv_interp.run.committed import committed
from pkv_interp.run.preregistration import Preregistration

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


def measure(session: "Session[ConfirmSettings]") -> Measured:
    """Judge competence; where the model has it, rank on discovery families and score the others."""
    settings = session.settings
    plan, place, named = settings.plan, settings.preregistration.path, settings.named
    known = committed(place)
    session.run.remarks.append(known.remark)
    cases = build_cases(settings, session.tokenizer)
    session.run.remarks.extend(cases.remarks)
    refuse_loaded(session.loaded.info, plan)
    session.check_engine(cases.ends)
    most = plan.sizes.pairs if named.screened else None
    field, tried_field = try_out(session, "decided field", cases.field, most)
    polarity, tried_polarity = try_out(session, "decided polarity", cases.polarity, most)
    tried = {"field": tried_field, "polarity": tried_polarity}
    tries_ranking, chosen, scores = dict[str, Tries](), None, None
    if follows(tried, plan, screened=named.screened):
        quads = cases.quads
        if named.screened:
            quads, tried["quads"] = try_out(session, "decided quads", quads, plan.sizes.quads)
        ranking = to_rank(session, cases, plan)
        tries_ranking, chosen = ranking.tries, choose(session, ranking, quads, plan)
        scores = score(session, Scored(field, polarity, quads, ranking.quads, cases), chosen)
    else:
        session.run.remarks.append(
            "nothing but competence was measured: the model does not follow these rules"
        )
    assert settings.scenarios is not None  # refused before
    return Measured(
        place.read_text("utf-8"),
        {
            "preregistration": settings.preregistration.sha256,
            "scenarios": settings.scenarios.sha256,
            "commit": known.commit,
        },
        settings.model.name,
        {kind: one for kind, one in tried.items() if one.found},
        tries_ranking,
        chosen,
        scores,
    )


def follows(tried: dict[str, Tries], plan: Preregistration, *, screened: bool) -> bool:
    """Whether the model follows the rules well enough for anything more to be measured.

    Args:
        tried: pairs to be scored, by kind.
        plan: says what it takes.
        screened: pairs are screened: then it takes enough families with a pair right on both sides.
    """
    if screened:
        families = {one.about.family for one in tried["field"].found if one.right}
        return len(families) >= plan.least_families
    return competent(
        [d for mine in tried.values() for one in mine.found for d in one.decisions], plan.competence
    )
