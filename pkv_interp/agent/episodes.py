"""Episodes: several turns in one domain, whose state changes on the way and sometimes changes back.

Order of the menu, the action that the trigger calls for, and the value at the start are balanced over a
design's episodes, so that no order of words gives the right action away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Required, TypedDict, Unpack

import numpy as np

from pkv_interp.agent.world import World, guards
from pkv_interp.errors import PkvError
from pkv_interp.names import EPISODE_TURNS
from pkv_interp.streams import stream
from pkv_interp.tasks.alignment import aligned_values
from pkv_interp.tasks.draws import Draw, draw
from pkv_interp.tasks.scenarios import Family, Scenarios, default_scenarios

#: Turns of an episode, and the turns at which the state may change first (the first turn is 1).
FEWEST, MOST = EPISODE_TURNS
CHANGES = (2, 3, 4)


@dataclass(frozen=True)
class Design:
    """What is balanced over episodes.

    Attributes:
        starts_at_trigger: the field starts at the value that the rule names.
        right_first: in the first turn's menu the right action stands first; the place alternates by turn.
        flipped: which of the family's actions the trigger calls for.
        change: turn at which the state changes.
        back: turn at which it changes back, None where it does not.
    """

    starts_at_trigger: bool
    right_first: bool
    flipped: bool
    change: int
    back: int | None


@dataclass(frozen=True)
class EpisodeSizes:
    """How long an episode is.

    Attributes:
        turns: 4 to 6.
        n_fillers: neutral sentences of the policy.
        n_preface: most sentences of the preface; from 1 to as many are drawn, and none where it is 0.
    """

    turns: int
    n_fillers: int
    n_preface: int


class EpisodeOptions(TypedDict, total=False):
    """What episodes of a run have in common, and the wording of one's rule.

    Attributes:
        sizes: turns and sentences.
        wording: name of a rule of the scenarios.
        seed: of the draws, together with the family and the index.
        scenarios: where rules and sentences come from; left out: the packaged ones.
    """

    sizes: Required[EpisodeSizes]
    wording: Required[str]
    seed: Required[int]
    scenarios: Scenarios


@dataclass(frozen=True)
class Turn:
    """One turn.

    Attributes:
        record: what the turn is about.
        value: the field's value in the world at this turn.
        menu: the two actions in the order that the question names them.
    """

    record: str
    value: str
    menu: tuple[str, str]


@dataclass(frozen=True)
class Episode:
    """One episode; ``chosen`` holds the draws that all of its turns share.

    Attributes:
        trigger: the value that the rule names.
        actions: the action that the trigger calls for, and the other one.
        values: the two values that the field takes, of one token length.
        preface: sentences before all else, of which each session has another number, so that what comes after
            lies elsewhere in each.
    """

    family: Family
    instance: str
    wording: str
    trigger: str
    actions: tuple[str, str]
    values: tuple[str, str]
    chosen: Draw
    turns: tuple[Turn, ...]
    preface: tuple[str, ...]

    def world(self) -> World:
        """The domain at the first turn, no record in yet."""
        return World(self.family.field, self.turns[0].value, guards(self.family, self.trigger, self.actions))

    def changed(self, turn: int) -> bool:
        """Whether the state changed right before this turn (counted from 0)."""
        return turn > 0 and self.turns[turn].value != self.turns[turn - 1].value

    def since_change(self, turn: int) -> int | None:
        """Turns since the last change (0: right before this turn), None before the first."""
        return next((i for i in range(turn + 1) if self.changed(turn - i)), None)


def designs(n: int, turns: int, seed: int) -> list[Design]:
    """``n`` designs in random order: every way to start as often as any other, and every schedule too.

    Args:
        n: how many.
        turns: of an episode, 4 to 6.
        seed: of the order.

    Raises:
        PkvError: a number of turns outside 4 to 6.
    """
    if not FEWEST <= turns <= MOST:
        raise PkvError(f"an episode of {turns} turns", f"choose {FEWEST} to {MOST}")
    rng = stream(seed, "episode designs", turns)
    starts = list(product((True, False), repeat=3))
    schedules = [
        (change, min(change + 2, turns) if again and change < turns else None)
        for change, again in product(CHANGES, (True, False))
    ]
    return [
        Design(*start, *schedule)
        for start, schedule in zip(_dealt(starts, n, rng), _dealt(schedules, n, rng), strict=True)
    ]


def _dealt(cards: Sequence[Any], n: int, rng: np.random.Generator) -> list[Any]:
    """``n`` cards, dealt from a shuffled pack and then from the next one."""
    packs = -(-n // len(cards))
    return [cards[int(i)] for _ in range(packs) for i in rng.permutation(len(cards))][:n]


def episode(
    family: Family,
    index: int,
    design: Design,
    tokenizer: Any,
    **options: Unpack[EpisodeOptions],
) -> Episode:
    """One episode.

    Args:
        family: the domain.
        index: of the episode in its family.
        design: what is balanced over episodes.
        tokenizer: the two values of the field take as many of its tokens.
        options: see `EpisodeOptions`.

    Raises:
        PkvError: no two values of the family share a token length.
    """
    sizes = options["sizes"]
    scenarios = options.get("scenarios") or default_scenarios()
    rng = stream(options["seed"], "episode", family.name, index)
    pairs = aligned_values(family, tokenizer)
    pair = pairs[int(rng.integers(len(pairs)))]
    trigger, other = pair if rng.integers(2) else pair[::-1]
    chosen = draw(family, rng, sizes.n_fillers, scenarios)
    first, second = family.actions
    actions = (second, first) if design.flipped else (first, second)
    start, new = (trigger, other) if design.starts_at_trigger else (other, trigger)
    values = [
        new if design.change <= turn and not (design.back and design.back <= turn) else start
        for turn in range(1, sizes.turns + 1)
    ]
    records = _records(rng, sizes.turns)
    size = int(rng.integers(sizes.n_preface)) + 1 if sizes.n_preface else 0
    known = scenarios.fillers
    preface = tuple(known[int(i)] for i in rng.choice(len(known), size=min(size, len(known)), replace=False))
    steps = []
    for turn, (record, value) in enumerate(zip(records, values, strict=True)):
        right = actions[0 if value == trigger else 1]
        wrong = actions[1 if value == trigger else 0]
        leads = design.right_first == (turn % 2 == 0)
        steps.append(Turn(record, value, (right, wrong) if leads else (wrong, right)))
    return Episode(
        family,
        f"{family.name}-{index}-{records[0]}",
        options["wording"],
        trigger,
        actions,
        (trigger, other),
        Draw(records[0], chosen.bystanders, chosen.fillers, actions, steps[0].menu),
        tuple(steps),
        preface,
    )


def _records(rng: np.random.Generator, n: int) -> list[str]:
    letters = "ABCDEFGHKLMNPRSTUVWXYZ"
    numbers = rng.choice(9000, size=n, replace=False) + 1000
    return [f"{letters[int(rng.integers(len(letters)))]}{int(number)}" for number in numbers]


def first_places(episodes: Sequence[Episode]) -> tuple[float, float]:
    """Over all turns: share whose menu names the right action first, and share whose value is the trigger."""
    turns = [(e, t) for e in episodes for t in e.turns]
    right = [t.menu[0] == e.actions[0 if t.value == e.trigger else 1] for e, t in turns]
    return sum(right) / len(turns), sum(t.value == e.trigger for e, t in turns) / len(turns)
