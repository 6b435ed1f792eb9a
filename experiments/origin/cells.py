"""One pair under one arrangement: who wrote the cache, who reads it, what its decision rests on."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from experiments.origin.cases import Arrangement
from experiments.origin.fitting import Fitting
from experiments.origin.settings import OriginSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.crossing import part_margins, read_by
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.models.load import load_adapted
from pkv_interp.tasks import Case
from pkv_interp.tasks.token_kinds import token_kinds

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Cell:
    """One pair; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        decisions: on the clean and on the corrupt prompt.
        parts: margin by what of the clean cache was put in, named as in ``part_rows``.
        kinds: number of notes by kind of token.
    """

    clean: float
    corrupt: float
    decisions: tuple[Decision, Decision]
    parts: dict[str, float]
    kinds: dict[str, int]


class Models:
    """The weights of all arrangements, loaded when first asked for; of the trained ones, the last is kept."""

    def __init__(self, session: "Session[OriginSettings]") -> None:
        """Hold the session; nothing is loaded yet."""
        self.session = session
        self._trained: tuple[str, Engine] | None = None
        self._written: dict[tuple[int, ...], PairRun] = {}

    @cached_property
    def bare(self) -> Engine:
        """The model without its adapter."""
        settings = self.session.settings
        if settings.model.adapter is None:
            return self.session.engine
        return Engine(load_adapted(settings.model, None), settings.memory_budget_mb)

    @cached_property
    def fitting(self) -> Fitting:
        """The trainings, on the bare model."""
        return Fitting(self.session, self.bare.loaded)

    def engine(self, weights: str, arrangement: Arrangement) -> Engine:
        """The engine of some weights of an arrangement."""
        if weights == "bare":
            return self.bare
        if weights == "gate":
            return self.session.engine
        if self._trained is None or self._trained[0] != arrangement.name:
            self._trained = None  # let go of one before the next is loaded
            settings = self.session.settings
            loaded = load_adapted(settings.model, self.fitting.adapter(arrangement))
            self._trained = (arrangement.name, Engine(loaded, settings.memory_budget_mb))
        return self._trained[1]

    def written(self, arrangement: Arrangement, case: Case) -> PairRun:
        """Both prompts of a case as the arrangement's writer runs them; those of the bare model are kept."""
        key = (*case.clean.ids, *case.corrupt.ids)  # pairs of one name differ in the place of the field
        if arrangement.writer == "bare" and key in self._written:
            return self._written[key]
        made = run_pair(self.engine(arrangement.writer, arrangement), case, ())
        if arrangement.writer == "bare":
            self._written[key] = made
        return made

    def cell(self, arrangement: Arrangement, case: Case) -> Cell:
        """Measure one pair."""
        written = self.written(arrangement, case)
        reader = self.engine(arrangement.reader, arrangement)
        pair = read_by(reader, written, self.engine(arrangement.writer, arrangement))
        first, second = decisions(pair)
        kinds = token_kinds(case.clean)
        return Cell(
            clean=pair.clean_margin,
            corrupt=pair.corrupt_margin,
            decisions=(first, second),
            parts=part_margins(reader, pair),
            kinds=dict(Counter(kinds[p] for p in pair.notes)),
        )
