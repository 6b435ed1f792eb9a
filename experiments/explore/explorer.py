"""What the page asks of the model: each view's numbers, computed once and kept."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from experiments.explore.chunks import REPAIRS, Cut, Moved, Mover
from experiments.explore.desk import Answer, Desk, Report
from experiments.explore.edits import USUAL, Change, Compared, Link, follow
from experiments.explore.heads import Curve, Site, curve, head_effects, sweep
from experiments.explore.notes import Joint, band, grid_margins, joint_margins, recovery, word_margins
from experiments.explore.opened import Opened, opened
from experiments.explore.pair import Maker, Pair
from experiments.explore.settings import ExploreSettings
from experiments.explore.state import Compose, Own, Scenario, State
from pkv_interp.cache.compute import Runner
from pkv_interp.editing import EditableContext
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.models.load import LoadedModel
from pkv_interp.streams import stream
from pkv_interp.tasks import Scenarios

T = TypeVar("T")
K = TypeVar("K")
Source = Scenario | Own
#: Pairs whose caches are kept: one on the page, and those that the reader goes back to.
_PAIRS = 3
_READING = frozenset({"attention"})
#: What heads that write need: their outputs at every position.
_WRITING = frozenset({"attention", "prefill"})


class Explorer:
    """A loaded model, and what was computed with it. Every method answers at once or says how far it is."""

    def __init__(self, loaded: LoadedModel, settings: ExploreSettings, desk: Desk | None = None) -> None:
        self.loaded, self.settings = loaded, settings
        self.engine = Engine(loaded, settings.memory_budget_mb)
        self.runner = Runner.of(loaded.model)
        self.maker = Maker(loaded.tokenizer, loaded.config.thinking, settings.world, settings.seed)
        self.desk = desk or Desk()
        self._mover = Mover(self.runner, loaded.tokenizer)
        self._contexts: OrderedDict[Source, EditableContext] = OrderedDict()
        self._changes: OrderedDict[tuple[Source, str], Change] = OrderedDict()
        self._runs: OrderedDict[Hashable, tuple[Pair, PairRun]] = OrderedDict()

    @property
    def n_layers(self) -> int:
        """Layers of the model."""
        return self.engine.spec.n_layers

    @property
    def world(self) -> Scenarios:
        """Scenarios that can be chosen."""
        return self.maker.world

    def _run(self, source: Source, capture: frozenset[str] = _READING) -> tuple[Pair, PairRun]:
        """The pair of a source, run; called by the desk's thread alone."""
        return _kept(self._runs, (source, capture), lambda: self._made(source, capture))

    def _made(self, source: Source, capture: frozenset[str]) -> tuple[Pair, PairRun]:
        pair = self.maker.make(source)
        self.runner.positions.check_served(len(pair.case.clean))
        return pair, run_pair(self.engine, pair.case, capture)

    def _ask(self, what: str, state: State, work: Callable[[Report], T], wait: float) -> Answer[T]:
        return self.desk.ask(self.key(what, state), work, wait)

    def key(self, what: str, state: State) -> tuple[Any, ...]:
        """What a view's result is kept under: all that it depends on.

        Args:
            what: of the view.
            state: of the page.
        """
        notes, edit, compose, site = state.notes, state.edit, state.compose, self.site(state)
        layers = band(notes.layers, self.n_layers)
        rest: dict[str, tuple[Hashable, ...]] = {
            "opened": (),
            "words": (notes.part, layers),
            "joint": (notes.part, layers, tuple(sorted(set(notes.words)))),
            "grid": (notes.part,),
            "heads": (site,),
            "curve": (site,),
            "chosen": (site, tuple(sorted(set(state.heads.chosen)))),
            "edits": (edit.value.strip(), edit.wording, edit.methods or USUAL),
            "chain": (edit.wording, edit.chain),
            "moved": (compose.span, compose.to, compose.repair),
            "along": (compose.span, compose.to),
        }
        return (what, state.source, *rest[what])

    def kept(self, what: str, state: State) -> Any:
        """A view's result that is there already; None where it is not."""
        return self.desk.kept(self.key(what, state))

    def opened(self, source: Source, wait: float = 0.0) -> Answer[Opened]:
        """Both prompts and their decisions."""

        def work(_report: Report) -> Opened:
            pair, run = self._run(source)
            return opened(pair, run, self.loaded.tokenizer)

        return self._ask("opened", State(source=source), work, wait)

    def words(self, state: State, wait: float = 0.0) -> Answer[Float[np.ndarray, " notes"]]:
        """Recovery of each single word of the notes."""
        part, layers = state.notes.part, band(state.notes.layers, self.n_layers)

        def work(report: Report) -> Float[np.ndarray, " notes"]:
            _, run = self._run(state.source)
            return recovery(word_margins(self.engine, run, part, layers, report), run)

        return self._ask("words", state, work, wait)

    def joint(self, state: State, wait: float = 0.0) -> Answer[Joint]:
        """Margins with the chosen words patched together.

        Words that cannot be patched, outside of the prompt or at its end, are refused in the answer.
        """
        part, layers = state.notes.part, band(state.notes.layers, self.n_layers)
        words = tuple(sorted(set(state.notes.words)))

        def work(_report: Report) -> Joint:
            _, run = self._run(state.source)
            return joint_margins(self.engine, run, words, part, layers)

        return self._ask("joint", state, work, wait)

    def grid(self, state: State, wait: float = 0.0) -> Answer[Float[np.ndarray, "layers notes"]]:
        """Recovery of each word in each single layer."""
        part = state.notes.part

        def work(report: Report) -> Float[np.ndarray, "layers notes"]:
            _, run = self._run(state.source)
            return recovery(grid_margins(self.engine, run, part, report), run)

        return self._ask("grid", state, work, wait)

    def site(self, state: State) -> Site:
        """Where heads are patched: at the decision, or at the chosen words."""
        words = tuple(sorted(set(state.notes.words))) if state.heads.site == "write" else None
        return Site(words, state.heads.mode)

    def _headed(self, state: State, site: Site) -> PairRun:
        if site.words == ():
            raise PkvError("no word is chosen", "choose words in the view Notes: heads are patched there")
        return self._run(state.source, _READING if site.words is None else _WRITING)[1]

    def heads(self, state: State, wait: float = 0.0) -> Answer[Float[np.ndarray, "layers heads"]]:
        """The effect of every single head."""
        site = self.site(state)

        def work(report: Report) -> Float[np.ndarray, "layers heads"]:
            return sweep(self.engine, self._headed(state, site), site, report)

        return self._ask("heads", state, work, wait)

    def curve(
        self, state: State, effects: Float[np.ndarray, "layers heads"], wait: float = 0.0
    ) -> Answer[Curve]:
        """Growing sets of heads, by the effects of single ones."""
        site = self.site(state)

        def work(report: Report) -> Curve:
            run = self._headed(state, site)
            rng = stream(self.settings.seed, "explore", "heads")
            return curve(self.engine, run, effects, site, rng, report)

        return self._ask("curve", state, work, wait)

    def chosen_heads(self, state: State, wait: float = 0.0) -> Answer[float]:
        """The effect of the chosen heads together."""
        site, heads = self.site(state), tuple(sorted(set(state.heads.chosen)))

        def work(report: Report) -> float:
            run = self._headed(state, site)
            return float(head_effects(self.engine, run, [heads], site, report)[0])

        return self._ask("chosen", state, work, wait)

    def edits(self, state: State, wait: float = 0.0) -> Answer[Compared]:
        """The change of the field by each method."""
        edit, methods = state.edit, state.edit.methods or USUAL

        def work(report: Report) -> Compared:
            return self._change(state).compare(methods, edit.wording, report)

        return self._ask("edits", state, work, wait)

    def _context(self, source: Source) -> EditableContext:
        """The clean prompt as an editable context, whose prefill is kept for other edits of it."""
        pair, _ = self._run(source)
        return _kept(self._contexts, source, lambda: pair.context(self.loaded))

    def _change(self, state: State) -> Change:
        pair, _ = self._run(state.source)
        value, context = state.edit.value.strip() or pair.values[1], self._context(state.source)
        make = partial(Change, context, pair.field, value, pair.case.actions)
        return _kept(self._changes, (state.source, value), make)

    def chain(self, state: State, wait: float = 0.0) -> Answer[tuple[Link, ...]]:
        """The chain of edits, step by step."""
        edit = state.edit

        def work(report: Report) -> tuple[Link, ...]:
            pair, _ = self._run(state.source)
            return follow(self._context(state.source), edit.chain, pair.case.actions, edit.wording, report)

        return self._ask("chain", state, work, wait)

    def moved(
        self, state: State, *, along: bool = False, wait: float = 0.0
    ) -> Answer[dict[str, dict[int, Moved]]]:
        """The chunk in its place on both prompts, with the chosen repair or along the curve of repairs."""
        compose = state.compose

        def work(report: Report) -> dict[str, dict[int, Moved]]:
            pair, _ = self._run(state.source)
            case, cut = pair.case, cut_of(compose, pair)
            repairs = tuple(k for k in REPAIRS if k <= cut.length) if along else (cut.repair,)
            return {
                side: self._mover.move(prompt.ids, case.action_ids, cut, repairs, report)
                for side, prompt in (("clean", case.clean), ("corrupt", case.corrupt))
            }

        return self._ask("along" if along else "moved", state, work, wait)


def _kept(place: OrderedDict[K, T], key: K, make: Callable[[], T]) -> T:
    """What is kept under a key, made where it is not there; the oldest go."""
    if key not in place:
        place[key] = make()
        while len(place) > _PAIRS:
            place.popitem(last=False)
    place.move_to_end(key)
    return place[key]


def cut_of(compose: Compose, pair: Pair) -> Cut:
    """The chunk that a state asks for; without one, the rule, or else the words after the field."""
    if compose.span is not None:
        start, stop = compose.span
    else:
        start, stop = usual_span(pair)
    to = start if compose.to is None else compose.to
    return Cut(start, stop, to, min(compose.repair, stop - start))


def usual_span(pair: Pair) -> tuple[int, int]:
    """The rule where the prompt has one, else the changed span and a few words after it."""
    kinds = pair.case.clean.kinds
    rule = [i for i, kind in enumerate(kinds) if kind in ("rule", "trigger", "action")]
    if rule:
        return rule[0], rule[-1] + 1
    start, stop = pair.case.change
    return start, min(stop + 8, len(pair.case.clean) - 1)
