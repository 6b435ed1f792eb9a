"""What the experiment on tau2-bench measures: every arm through decisions and loops of each domain."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.tau2.arms import Chunks, VisitRun, run_visit
from experiments.tau2.cases import build_cases
from experiments.tau2.settings import Tau2Settings
from pkv_interp.agent.tau2.package import Domain, check_installed
from pkv_interp.agent.tau2.visits import Visit
from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.run.stage import Stage

if TYPE_CHECKING:
    from pkv_interp.run.session import Session

#: Decisions of each domain at which a splice in place is held against no splice.
IN_PLACE = 5


@dataclass(frozen=True)
class Known:
    """What was there to choose from.

    Attributes:
        domain: its name.
        version: of the package.
        digest: of the whole database, by the environment.
        gated: records whose state gates an action, under all topics.
        unaligned: records passed over because their states differ in tokens under the model's tokenizer.
    """

    domain: str
    version: str
    digest: str
    gated: int
    unaligned: int


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        known: by domain.
        decisions: one request about one record, after its state changed.
        loops: several requests of a visit; empty where none were asked for.
    """

    known: list[Known]
    decisions: Stage[VisitRun]
    loops: Stage[VisitRun]


def measure(session: "Session[Tau2Settings]") -> Measured:
    """Build every visit, so that what is wrong is told before a model loads; run all arms through each."""
    version = check_installed()
    settings, tokenizer = session.settings, session.tokenizer
    domains = {name: Domain.load(name) for name in settings.domains}
    cases = {name: build_cases(domain, settings, tokenizer) for name, domain in domains.items()}
    for name, mine in cases.items():
        if not mine.decisions:
            raise PkvError(
                f"no {name} record has two states of one token length under this tokenizer",
                "leave the domain out of domains",
            )
        if settings.records is not None and len(mine.decisions) < settings.records:
            session.run.remarks.append(f"{name}: there are {len(mine.decisions)} decisions, all are taken")
        if len(mine.loops) < settings.loops:
            session.run.remarks.append(f"{name}: there are {len(mine.loops)} loops, all are taken")
    runner = Runner.of(session.loaded.model)
    # The first forward of a process pays for what later ones find ready.
    runner.prefill(tokenizer("warm up", add_special_tokens=False)["input_ids"])
    chunks = Chunks(runner, tokenizer, settings)
    by_visit = {
        visit.instance: domains[name]
        for name, mine in cases.items()
        for visit in (*mine.decisions, *mine.loops)
    }
    # A splice in place costs two more prefills; the first decisions of each domain are enough.
    checked = {visit.instance for mine in cases.values() for visit in mine.decisions[:IN_PLACE]}

    def one(visit: Visit) -> VisitRun:
        domain = by_visit[visit.instance]
        return run_visit(chunks, visit, domain, settings, in_place=visit.instance in checked)

    decisions, loops = (
        session.each(stage, visits, one, VisitRun)
        for stage, visits in (
            ("decisions", [visit for mine in cases.values() for visit in mine.decisions]),
            ("loops", [visit for mine in cases.values() for visit in mine.loops]),
        )
    )
    known = [
        Known(name, version, domain.digest, cases[name].gated, cases[name].unaligned)
        for name, domain in domains.items()
    ]
    return Measured(known, decisions, loops)
