"""Visits of the experiment: decisions about one record, and loops over several."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Any

from experiments.tau2.settings import Tau2Settings
from pkv_interp.agent.tau2.package import Domain
from pkv_interp.agent.tau2.policy import sections
from pkv_interp.agent.tau2.records import Gated, Topic, apart
from pkv_interp.agent.tau2.visits import Page, Request, Visit, aligned
from pkv_interp.streams import stream

#: Lines before the policy; sessions have from none to all of them, so that the policy lies elsewhere in each.
PREFACE = ("channel: chat", "language: English", "identity: confirmed", "agent: night shift, second desk")
#: Every way to open a session: in either state, with either action first in the menu; states alternate.
WAYS = ((0, 0), (1, 1), (0, 1), (1, 0))


@dataclass(frozen=True)
class Cases:
    """Visits of one domain.

    Attributes:
        decisions: one record and one request each, its state changed right before.
        loops: several records and requests each; no two records of one have their state in one row.
        episodes: one record and one request each, to be run in several courses.
        gated: records of the domain whose state gates an action, under all topics.
        unaligned: records passed over because their states differ in tokens.
    """

    decisions: list[Visit]
    loops: list[Visit]
    episodes: list[Visit]
    gated: int
    unaligned: int


def build_cases(domain: Domain, settings: Tau2Settings, tokenizer: Any) -> Cases:
    """The visits of a domain; topics go round, and states and menus are balanced within each."""
    found, passed = domain.records(), set[str]()
    topics = list(dict.fromkeys(one.topic for one in found))

    def usable(visit: Visit) -> bool:
        page = Page(visit, 0, visit.starts, chat=settings.chat, thinking=settings.model.thinking)
        if not aligned(page, tokenizer):
            passed.update(one.instance for one in visit.records)
            return False
        return True

    def single(topic: Topic, part: str = "tau2") -> Iterator[Visit]:
        mine = _shuffled([one for one in found if one.topic == topic], settings, topic, part)
        way = topics.index(topic)  # so that few decisions are balanced as well
        for one in mine:
            start, first = WAYS[way % len(WAYS)]
            visit = _visit(domain, settings, (one,), (start,), (Request(0, True, first),), way)
            if usable(visit):
                way += 1
                yield visit

    def looped(topic: Topic) -> Iterator[Visit]:
        by_user: dict[str, list[Gated]] = {}
        for one in found:
            if one.topic == topic:
                by_user.setdefault(one.user, []).append(one)
        free = {user: apart(mine) for user, mine in by_user.items()}
        users = [user for user, mine in free.items() if len(mine) >= settings.loop_turns]
        for i, user in enumerate(_shuffled(users, settings, topic)):
            visit = _loop(domain, settings, tuple(free[user][: settings.loop_turns]), i)
            if usable(visit):
                yield visit

    return Cases(
        list(_in_turn([single(topic) for topic in topics], settings.records)),
        list(_in_turn([looped(topic) for topic in topics], settings.loops)),
        list(_in_turn([single(topic, "tau2 episode") for topic in topics], settings.episodes)),
        len(found),
        len(passed),
    )


def _visit(
    domain: Domain,
    settings: Tau2Settings,
    records: tuple[Gated, ...],
    starts: tuple[int, ...],
    requests: tuple[Request, ...],
    number: int,
) -> Visit:
    whole = settings.policy == "full"
    text = domain.policy.strip() + "\n" if whole else sections(domain.policy, records[0].topic.headings)
    preface = PREFACE[: number % (len(PREFACE) + 1)]
    return Visit(records[0].instance, records, starts, requests, text, preface)


def _loop(domain: Domain, settings: Tau2Settings, records: tuple[Gated, ...], number: int) -> Visit:
    """A visit with a request about each record; two of three states have changed when it is asked about."""
    rng = stream(settings.seed, "tau2 loop", records[0].instance)
    starts = tuple(int(one) for one in rng.integers(2, size=len(records)))
    requests = tuple(
        Request(turn, (number + turn) % 3 != 0, int(rng.integers(2))) for turn in range(len(records))
    )
    return replace(
        _visit(domain, settings, records, starts, requests, number), instance=f"loop-{records[0].instance}"
    )


def _shuffled(items: Sequence[Any], settings: Tau2Settings, topic: Topic, part: str = "tau2") -> list[Any]:
    order = stream(settings.seed, part, topic.name, str(len(items))).permutation(len(items))
    return [items[int(i)] for i in order]


def _in_turn(sources: Sequence[Iterator[Visit]], most: int | None) -> Iterator[Visit]:
    """One of each source in turn, until none is left or there are as many as asked for."""
    count = 0
    # Nothing is built for a source once as many were taken as are wanted in all.
    for row in zip_longest(*(islice(source, most) for source in sources)):
        for visit in row:
            if visit is not None:
                if most is not None and count >= most:
                    return
                count += 1
                yield visit
