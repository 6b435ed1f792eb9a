"""Episodes on one record: nothing changes, its state changes, or it changes and is looked up anew."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from experiments.tau2.turns import VisitRun
from pkv_interp.agent.tau2.package import Domain, World
from pkv_interp.agent.tau2.records import Gated
from pkv_interp.agent.tau2.visits import Request, Visit

#: What happens between the opening of a session and its request.
UNCHANGED, CHANGED, LOOKED_UP = "unchanged", "changed", "looked_up"
COURSES = (UNCHANGED, CHANGED, LOOKED_UP)


@dataclass(frozen=True)
class EpisodeRun:
    """One record in every course.

    Attributes:
        courses: the visit in each, by name.
        told: share of the record's two states that the environment's reading tool tells as a prompt states
            them, once they are there.
    """

    courses: dict[str, VisitRun]
    told: float

    @property
    def domain(self) -> str:
        """Of the record."""
        return self.courses[UNCHANGED].about.domain


def course_of(visit: Visit, course: str) -> Visit:
    """A visit of one request in a course of its own; what it opens with is the same in all of them.

    Args:
        visit: whose request's own change is not read.
        course: one of `COURSES`.
    """
    (asked,) = visit.requests
    request = Request(asked.record, course != UNCHANGED, asked.first, course == LOOKED_UP)
    return replace(visit, instance=f"{visit.instance}-{course}", requests=(request,))


def run_episode(visit: Visit, domain: Domain, run: Callable[[Visit], VisitRun]) -> EpisodeRun:
    """Every course of one record.

    Args:
        visit: about it.
        domain: whose database its worlds are cut from.
        run: takes a visit through every arm.
    """
    courses = {course: run(course_of(visit, course)) for course in COURSES}
    return EpisodeRun(courses, told_by_tools(domain.world(visit.user), visit.records[0]))


def told_by_tools(world: World, record: Gated) -> float:
    """Share of a record's states that the environment's reading tool tells; the world is changed.

    Args:
        world: that has the record.
        record: to be brought into the other state than the database has it in, and back.
    """
    found = list[bool]()
    for state in (1 - record.found, record.found):
        world.arrive(record.arrivals[state])
        found.append(world.read(record.look) == record.states[state])
    return sum(found) / len(found)
