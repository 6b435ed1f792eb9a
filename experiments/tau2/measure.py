"""What the experiment on tau2-bench measures: every arm through decisions, loops and episodes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments.tau2.arms import Sessions, run_visit
from experiments.tau2.cases import Cases, build_cases
from experiments.tau2.episodes import EpisodeRun, run_episode
from experiments.tau2.served import Server, run_served_visit
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.splicing import Chunks
from experiments.tau2.turns import VisitRun
from pkv_interp.agent.tau2.package import Domain, check_installed
from pkv_interp.agent.tau2.visits import Visit
from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.models.served import served_model
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
        episodes: one record in several courses; empty where none were asked for.
    """

    known: list[Known]
    decisions: Stage[VisitRun]
    loops: Stage[VisitRun]
    episodes: Stage[EpisodeRun] = field(default_factory=lambda: Stage[EpisodeRun]({}))


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
        session.run.remarks += _cut(name, mine, settings)
    known = [
        Known(name, version, domain.digest, cases[name].gated, cases[name].unaligned)
        for name, domain in domains.items()
    ]
    if settings.url is None or settings.engine is None:
        return _over_a_cache(session, known, domains, cases)
    with Server(settings.url, settings.engine) as server:
        session.describe(
            served_model(settings.model, tokenizer, engine=settings.engine, dtype=settings.precision)
        )

        def run(visit: Visit) -> VisitRun:
            domain = domains[visit.records[0].domain]
            return run_served_visit(server, tokenizer, visit, domain, settings)

        found = _measured(session, known, domains, cases, run, lambda _: run)
        if all(one.checks.prefix_cache_equals_full is None for one in found.decisions.all()):
            session.run.remarks.append(
                "the server tells no log-probabilities: actions are its first word, margins their signs, and "
                "that its prefix cache equals a full prefill was not checked"
            )
        return found


def _cut(name: str, cases: Cases, settings: Tau2Settings) -> list[str]:
    """Remarks on what there is less of than was asked for."""
    asked = {
        "decisions": (settings.records, cases.decisions),
        "loops": (settings.loops, cases.loops),
        "episodes": (settings.episodes, cases.episodes),
    }
    return [
        f"{name}: there are {len(mine)} {what}, all are taken"
        for what, (count, mine) in asked.items()
        if count is not None and len(mine) < count
    ]


def _over_a_cache(
    session: "Session[Tau2Settings]", known: list[Known], domains: dict[str, Domain], cases: dict[str, Cases]
) -> Measured:
    """Every arm, over a model whose cache is ours."""
    settings, tokenizer = session.settings, session.tokenizer
    runner = Runner.of(session.loaded.model)
    # The first forward of a process pays for what later ones find ready.
    runner.prefill(tokenizer("warm up", add_special_tokens=False)["input_ids"])
    chunks = Chunks(runner, tokenizer, settings)
    # A splice in place costs two more prefills; the first decisions of each domain are enough.
    checked = {visit.instance for mine in cases.values() for visit in mine.decisions[:IN_PLACE]}

    def one(visit: Visit) -> VisitRun:
        domain, in_place = domains[visit.records[0].domain], visit.instance in checked
        return run_visit(chunks, visit, domain, settings, in_place=in_place)

    def courses(visit: Visit) -> Callable[[Visit], VisitRun]:
        # They open alike, so that what is opened once is theirs, and so is the time that it took.
        sessions, domain = Sessions.of(chunks, visit, settings), domains[visit.records[0].domain]
        return lambda course: run_visit(
            chunks, course, domain, settings, sessions=sessions.course(course), in_place=False
        )

    return _measured(session, known, domains, cases, one, courses)


def _measured(
    session: "Session[Tau2Settings]",
    known: list[Known],
    domains: dict[str, Domain],
    cases: dict[str, Cases],
    one: Callable[[Visit], VisitRun],
    courses: Callable[[Visit], Callable[[Visit], VisitRun]],
) -> Measured:
    """All parts.

    Args:
        session: of the run.
        known: of the domains.
        domains: by name.
        cases: by name of the domain.
        one: takes a visit through every arm.
        courses: opens an episode, and gives what takes its courses through every arm.
    """

    def episode(visit: Visit) -> EpisodeRun:
        return run_episode(visit, domains[visit.records[0].domain], courses(visit))

    every = cases.values()
    return Measured(
        known,
        session.each("decisions", [visit for mine in every for visit in mine.decisions], one, VisitRun),
        session.each("loops", [visit for mine in every for visit in mine.loops], one, VisitRun),
        session.each("episodes", [visit for mine in every for visit in mine.episodes], episode, EpisodeRun),
    )
