"""From measured margins to estimates, tests and rows: what summaries score with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from pkv_interp.measure.competence import Decision
from pkv_interp.records.archive import Head
from pkv_interp.records.competence import LEAST_FAMILIES, Competence, above_guessing
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import SHARE, Headline
from pkv_interp.run.screen_report import ScreenRow, counts, screen_rows, screen_table
from pkv_interp.run.screened import Screened
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.stats import Estimate, max_t, mean, ratios_of_means
from pkv_interp.stats.recovery import recovery_by_site
from pkv_interp.tasks import Case
from pkv_interp.tolerances import Tolerance, tolerance_of

S = TypeVar("S", bound=ExperimentSettings)
#: Bounds of a divergence or an error, as the statistics take them.
UNSIGNED = (0.0, float("inf"))


class Resampling(TypedDict):
    """How the intervals of a run are drawn."""

    seed: int
    draws: int


class Sides(Protocol):
    """Anything with the margins of the two prompts of a case, in logits."""

    @property
    def clean(self) -> float:
        """Margin on the clean prompt."""
        ...

    @property
    def corrupt(self) -> float:
        """Margin on the corrupt prompt."""
        ...


@dataclass(frozen=True)
class SideMargins:
    """Margins of the two prompts of a case, for results that hold them under other names."""

    clean: float
    corrupt: float


@dataclass(frozen=True)
class CompetenceRow(TableRow):
    """How often the model is right: its competence, on which figures about a mechanism depend."""

    table = "competence"
    two_way: float
    top_token: float
    match: float
    mismatch: float
    n_prompts: int


@dataclass(frozen=True)
class GateResult:
    """The competence gate as it goes into a report.

    Attributes:
        competence, headline, table: of unselected pairs.
        screen: lines about screened pairs, by family; none without a screen.
        rows: of all screened pairs, used or not.
    """

    competence: Competence
    headline: Headline
    table: CompetenceRow
    screen: list[ScreenRow] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether mechanism figures may be stated."""
        return self.competence.passed


@dataclass(frozen=True)
class Scoring(Generic[S]):
    """What a summary may know beside the measurements: the settings, and the facts of the run.

    Attributes:
        settings: all of them.
        head: model, controls and noise floors of the measurement.
    """

    settings: S
    head: Head

    @property
    def resampling(self) -> Resampling:
        """Seed and draws of every interval of the run."""
        draws = getattr(self.settings, "bootstrap_draws", 2000)
        return {"seed": self.settings.seed, "draws": int(draws)}

    @property
    def floor(self) -> float:
        """Noise floor of margins, in logits."""
        return self.head.noise_floor["margin"]

    @property
    def tolerance(self) -> Tolerance:
        """Allowed errors in the model's dtype."""
        return tolerance_of(str(self.head.model["dtype"]))

    @property
    def random_weights(self) -> bool:
        """Whether the model was never trained; such a model never passes the gate."""
        return bool(self.head.model["random_weights"])

    def on(self, cases: Sequence[Case], sides: Sequence[Sides]) -> "Scorer":
        """A scorer for these cases, given the margins of both prompts of each."""
        return Scorer(
            cases,
            np.array([side.clean for side in sides], float),
            np.array([side.corrupt for side in sides], float),
            self.floor,
            self.resampling,
        )

    def gate(
        self, decided: Sequence[Decision], threshold: float, screened: Screened | None = None
    ) -> GateResult:
        """Whether mechanism figures may be stated.

        Without a screen: the model is right on both sides of the task often enough. With one, competence is
        still that of all candidates, and figures are of pairs that the model is right on: there must be such
        pairs in enough families, and the model must do better on all of them than guess.

        Args:
            decided: on unselected pairs; not read where pairs were screened.
            threshold: accuracy that each side must reach without a screen.
            screened: all candidates of a screen; None or empty without one.
        """
        screened = screened or Screened()
        if screened:
            decided = screened.decisions
        accuracy = mean(
            [d.right for d in decided],
            [d.family for d in decided],
            bounds=(0.0, 1.0),
            **self.resampling,
        )
        sides = {"match": [d for d in decided if d.gold_is_match]}
        sides["mismatch"] = [d for d in decided if not d.gold_is_match]
        per_value = {name: sum(d.right for d in part) / len(part) for name, part in sides.items()}
        pairs = counts(screened) if screened else None
        passed = not self.random_weights and (
            min(per_value.values()) >= threshold
            if pairs is None
            else pairs.families_used >= LEAST_FAMILIES and above_guessing(accuracy)
        )
        top = sum(d.top_token_right for d in decided) / len(decided)
        return GateResult(
            Competence(
                accuracy=accuracy, per_value=per_value, threshold=threshold, passed=passed, screen=pairs
            ),
            Headline("competence", accuracy, "two-way accuracy, both sides", needs_gate=False, bounds=SHARE),
            CompetenceRow(accuracy.value, top, per_value["match"], per_value["mismatch"], len(decided)),
            screen_table(screened),
            screen_rows(screened),
        )


class Scorer:
    """Turns patched margins of a list of cases into estimates, tests and record rows.

    Attributes:
        rows: those of the arms so far.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        clean: np.ndarray,
        corrupt: np.ndarray,
        noise_floor: float,
        resampling: Resampling,
    ) -> None:
        """Score cases whose prompts have the margins ``clean`` and ``corrupt``, both [cases], in logits."""
        self.cases, self.clean, self.corrupt = cases, clean, corrupt
        self.families = [case.family for case in cases]
        self.resampling = resampling
        self.noise_floor = noise_floor
        # Near ties are left out. Where nothing else is left (a random model) all are kept: rows flag them,
        # and the competence gate has failed.
        measured = clean - corrupt
        self.floor = noise_floor if (np.abs(measured) > noise_floor).any() else 0.0
        # Half precision can leave such a model with no gap at all: then effects are told in noise floors.
        told = measured[np.abs(measured) > self.floor].sum() != 0.0
        self._denominators = measured if told else np.full_like(measured, noise_floor)
        self.rows: list[Row] = []

    @property
    def gap(self) -> np.ndarray:
        """The denominators: clean minus corrupt margins, or the noise floor where those sum to nothing."""
        return self._denominators

    def recoveries(self, patched: ArrayLike) -> list[Estimate]:
        """Recovery of many arms, [cases, arms], each a ratio of means over families."""
        found = recovery_by_site(
            np.asarray(patched, float),
            self.corrupt + self.gap,
            self.corrupt,
            self.families,
            noise_floor=self.floor,
            **self.resampling,
        )
        return [one.estimate for one in found]

    def recovery(self, patched: ArrayLike) -> Estimate:
        """Recovery of one arm, [cases]."""
        return self.recoveries(np.asarray(patched, float)[:, None])[0]

    def ratios(self, numerators: ArrayLike) -> list[Estimate]:
        """Means of [cases, sites] over the mean gap, for quantities that are no patched margins."""
        return ratios_of_means(numerators, self.gap, self.families, **self.resampling)

    def mean(self, values: ArrayLike) -> Estimate:
        """Plain mean of [cases]."""
        return mean(np.asarray(values, float), self.families, **self.resampling)

    def share(self, values: ArrayLike) -> Estimate:
        """Mean of [cases] of shares or of right and wrong; the interval is cut at 0 and 1."""
        return mean(np.asarray(values, float), self.families, bounds=(0.0, 1.0), **self.resampling)

    def adjusted(self, patched: ArrayLike) -> list[float | None]:
        """P value of each site of [cases, sites] against no effect, max-T over all; None for one family."""
        if len(set(self.families)) < 2:
            return [None] * np.shape(patched)[1]
        moved = np.asarray(patched, float) - self.corrupt[:, None]
        return [float(p) for p in max_t(moved, self.families, seed=self.resampling["seed"]).p_values]

    def arm(self, name: str, patched: ArrayLike, **extra: Any) -> Estimate:
        """Estimate an arm and write one row per case.

        Args:
            name: of the arm.
            patched: margins [cases], in logits.
            extra: scalars for every row, or a sequence with one per case.
        """
        values = np.asarray(patched, float)
        for i, case in enumerate(self.cases):
            mine = {k: v[i] if isinstance(v, list | np.ndarray) else v for k, v in extra.items()}
            margins = {"clean": float(self.clean[i]), "corrupt": float(self.corrupt[i])}
            near = bool(abs(self.clean[i] - self.corrupt[i]) <= self.noise_floor)
            self.rows.append(
                row_of(
                    case,
                    name,
                    **margins,
                    patched=float(values[i]),
                    extra={"tokens": len(case.clean), "near_tie": near, **mine},
                )
            )
        return self.recovery(values)


def row_of(case: Case, arm: str, **fields: Any) -> Row:
    """A record row about a case."""
    return Row(
        family=case.family,
        split=case.split,
        instance=case.instance,
        wording=case.wording,
        arm=arm,
        **fields,
    )
