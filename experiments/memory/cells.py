"""Questions of one kind under all arms: how often they are answered rightly, and what may be said of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from experiments.memory.reading import FULL, Asked, PersonaRun
from experiments.memory.settings import ALPHA, MARGIN, MemorySettings
from experiments.memory.tables import ArmLine, GateLine, McNemarLine, ParityLine
from pkv_interp.measure.competence import Decision
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import interval
from pkv_interp.run.scoring import Resampling, Scoring
from pkv_interp.stats import Estimate, holm, mean, tost
from pkv_interp.stats.mcnemar import mcnemar
from pkv_interp.stats.shares import share_difference

_SPLIT = "memory"
#: Which questions of a cell an arm is compared on.
Mask = Bool[np.ndarray, " questions"]


@dataclass(frozen=True, eq=False)
class Cell:
    """Questions of one part, condition, number of relevant settings and size.

    Attributes:
        part, condition, relevant, size: which.
        personas: one name per question; the clusters.
        asked: the questions.
        threshold: accuracy that either gold answer must reach.
        trained: the model's weights are not random.
        resampling: of the intervals.
    """

    part: str
    condition: str
    relevant: int
    size: int
    personas: tuple[str, ...]
    asked: tuple[Asked, ...]
    threshold: float
    trained: bool
    resampling: Resampling

    @property
    def arms(self) -> tuple[str, ...]:
        """Those that every question was asked under, the full prefill first."""
        there = set.intersection(*(set(one.readings) for one in self.asked))
        return tuple(arm for arm in self.asked[0].readings if arm in there)

    def right(self, arm: str = FULL) -> Mask:
        """Whether an arm gives the gold answer."""
        return np.array([one.readings[arm].yes == one.gold for one in self.asked])

    def said_yes(self, arm: str = FULL) -> Mask:
        """Whether an arm says yes."""
        return np.array([one.readings[arm].yes is True for one in self.asked])

    def values_right(self, arm: str = FULL) -> float | None:
        """Share of settings that an arm reads back as they are; None where it reads none."""
        pairs = [
            pair
            for one in self.asked
            if one.readings[arm].values
            for pair in zip(one.readings[arm].values, one.values, strict=True)
        ]
        return float(np.mean([said == held for said, held in pairs])) if pairs else None

    def agrees(self, arm: str) -> Mask:
        """Whether an arm decides as the full prefill."""
        return np.array([one.readings[arm].yes == one.readings[FULL].yes for one in self.asked])

    def share(self, values: np.ndarray, keep: Mask | None = None) -> Estimate:
        """Share of questions, with its interval over personas."""
        kept = np.ones(len(self.asked), bool) if keep is None else keep
        names = [name for name, k in zip(self.personas, kept, strict=True) if k]
        return mean(values[kept].astype(float), names, bounds=(0.0, 1.0), **self.resampling)

    def difference(self, first: Mask, second: Mask, keep: Mask | None = None) -> Estimate:
        """First less second share of questions, with its interval over personas."""
        kept = np.ones(len(self.asked), bool) if keep is None else keep
        names = [name for name, k in zip(self.personas, kept, strict=True) if k]
        return share_difference(first[kept], second[kept], names, **self.resampling)

    def by_gold(self, gold: bool) -> float:
        """Accuracy of the full prefill on one gold answer; 0 where there is no such question."""
        keep = np.array([one.gold == gold for one in self.asked])
        return float(self.right()[keep].mean()) if keep.any() else 0.0

    @property
    def passed(self) -> bool:
        """Whether the model is competent here."""
        return self.trained and min(self.by_gold(True), self.by_gold(False)) >= self.threshold

    @property
    def varied(self) -> bool:
        """Whether the full prefill says both yes and no."""
        return len(set(self.said_yes().tolist())) == 2

    def agreement(self, arm: str) -> Estimate | None:
        """How often an arm decides as a full prefill that is right; None where the arm is withheld."""
        right = self.right()
        if not (self.passed and self.varied and right.any()):
            return None
        return self.share(self.agrees(arm), right)

    def gate_line(self) -> GateLine:
        """Its line in the table of gates."""
        return GateLine.of(
            self.share(self.right()),
            part=self.part,
            condition=self.condition,
            relevant=self.relevant,
            size=self.size,
            yes=self.by_gold(True),
            no=self.by_gold(False),
            threshold=self.threshold,
            passed=self.passed,
            varied=self.varied,
        )

    def arm_line(self, arm: str) -> ArmLine:
        """The line of one arm."""
        right = self.share(self.right(arm))
        columns: dict[str, Any] = {
            **interval("correct", right),
            **interval("agreement", self.agreement(arm)),
        }
        return ArmLine(
            part=self.part,
            condition=self.condition,
            relevant=self.relevant,
            size=self.size,
            arm=arm,
            **columns,
            counted=int(self.right().sum()),
            said_yes=float(self.said_yes(arm).mean()),
            values_right=self.values_right(arm),
            top1=self._apart(arm, lambda apart: float(apart.top1)),
            kl=self._apart(arm, lambda apart: apart.kl),
            cosine=self._apart(arm, lambda apart: apart.cosine),
            centred_cosine=self._apart(arm, lambda apart: apart.centred_cosine),
            tokens=float(np.mean([one.readings[arm].tokens for one in self.asked])),
            competent=self.passed,
            n=len(self.asked),
            n_families=right.n_families,
        )

    def _apart(self, arm: str, quantity: Callable[[Any], float]) -> float | None:
        found = [one.readings[arm].apart for one in self.asked]
        return None if any(one is None for one in found) else float(np.mean([quantity(one) for one in found]))

    def parity(self, arm: str) -> ParityLine | None:
        """Accuracy of an arm less the full prefill's; None where the arm is withheld or personas are few.

        Two one-sided tests take a spread of nothing for certainty. Where no persona differs, the p value is
        the chance of that among so many if a share of ``MARGIN`` of all did.
        """
        n_personas = len(set(self.personas))
        if not self.passed or n_personas < 2:
            return None
        apart = self.right(arm).astype(float) - self.right().astype(float)
        tested = tost(apart, self.personas, MARGIN, alpha=ALPHA, **self.resampling)
        p_value, equivalent = tested.p_value, tested.equivalent
        if tested.estimate.value == 0.0 and tested.estimate.ci_low == tested.estimate.ci_high:
            p_value = (1.0 - MARGIN) ** n_personas
            equivalent = p_value < ALPHA
        return ParityLine.of(
            self.difference(self.right(arm), self.right()),
            part=self.part,
            condition=self.condition,
            relevant=self.relevant,
            size=self.size,
            arm=arm,
            margin=MARGIN,
            p_value=p_value,
            equivalent=equivalent,
        )

    def tests(
        self, pairs: Sequence[tuple[str, str]], values: Callable[[str], Mask], keep: Mask | None = None
    ) -> list[McNemarLine]:
        """McNemar's test of each pair of arms, with Holm over them; none where the model is not competent.

        Args:
            pairs: of arms.
            values: of an arm, right or agreeing by question.
            keep: questions that count; None for all.
        """
        if not (self.passed and pairs):
            return []
        kept = np.ones(len(self.asked), bool) if keep is None else keep
        found = [mcnemar(values(first)[kept], values(second)[kept]) for first, second in pairs]
        adjusted = holm([one.p_value for one in found])
        return [
            McNemarLine(
                self.part,
                self.condition,
                self.relevant,
                first,
                second,
                one.first,
                one.second,
                one.p_value,
                float(p),
                int(kept.sum()),
            )
            for (first, second), one, p in zip(pairs, found, adjusted, strict=True)
        ]

    def decisions(self) -> list[Decision]:
        """What the full prefill decides, for the gate of the record."""
        return [
            Decision(
                name,
                str(number),
                one.gold,
                one.readings[FULL].margin * (1.0 if one.gold else -1.0),
                one.readings[FULL].yes == one.gold,
                one.readings[FULL].yes == one.gold and one.readings[FULL].top,
            )
            for number, (name, one) in enumerate(zip(self.personas, self.asked, strict=True))
        ]


def cells(part: str, runs: Sequence[PersonaRun], scoring: Scoring[MemorySettings]) -> list[Cell]:
    """The questions of a part, by condition, number of relevant settings and size, in the order of asking."""
    found: dict[tuple[str, int, int], list[tuple[str, Asked]]] = {}
    for run in runs:
        for one in run.asked:
            found.setdefault((one.condition, one.relevant, run.size), []).append((run.persona, one))
    return [
        Cell(
            part,
            *key,
            tuple(name for name, _ in pairs),
            tuple(one for _, one in pairs),
            scoring.settings.competence_threshold,
            not scoring.random_weights,
            scoring.resampling,
        )
        for key, pairs in found.items()
    ]


def chosen(some: Sequence[Cell], condition: str) -> Cell | None:
    """Of a condition the competent cell with the most relevant settings, whose figures are stated.

    The rule was set before anything was measured: published figures are of two relevant settings, and an
    easier question stands for them only where the model cannot do theirs.
    """
    able = [one for one in some if one.condition == condition and one.passed and one.varied]
    return max(able, key=lambda one: one.relevant) if able else None


def rows(part: str, runs: Sequence[PersonaRun]) -> list[Row]:
    """One row per question and arm."""
    return [
        Row(
            family=run.persona,
            split=_SPLIT,
            instance=f"{part} {number}",
            wording=one.condition,
            arm=arm,
            clean=one.readings[FULL].margin,
            patched=reading.margin,
            extra={
                "part": part,
                "relevant": one.relevant,
                "size": run.size,
                "gold_yes": one.gold,
                "said_yes": reading.yes,
                "tokens": reading.tokens,
                "kl": None if reading.apart is None else reading.apart.kl,
            },
        )
        for run in runs
        for number, one in enumerate(run.asked)
        for arm, reading in one.readings.items()
    ]
