"""Arrangements that differ in the seed alone, scored one by one and together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.origin.cases import PAIRS, Arrangement
from experiments.origin.cells import Cell
from experiments.origin.measure import Measured
from experiments.origin.settings import OriginSettings
from pkv_interp.measure.competence import Decision
from pkv_interp.records.schema import Row
from pkv_interp.run.scoring import Scorer, Scoring
from pkv_interp.run.stage import stacked
from pkv_interp.stats import Estimate
from pkv_interp.stats.crossed import ratio_over_seeds, sd_over_seeds, share_over_seeds

SIDES = ("both", "match", "mismatch")


@dataclass(frozen=True)
class Together:
    """One figure of a group: over all seeds, by seed, and how far seeds lie apart (None of one seed)."""

    over_seeds: Estimate
    by_seed: list[Estimate]
    spread: Estimate | None


class Group:
    """Arrangements of one role, curriculum and pair of weights, one per seed.

    Attributes:
        members: in the order of their seeds.
        measured: by what differs in the pairs that it was measured on.
    """

    def __init__(
        self, members: Sequence[Arrangement], found: Measured, scoring: Scoring[OriginSettings]
    ) -> None:
        """Score the cells of the members."""
        self.members, self.scoring = list(members), scoring
        self._cells: dict[str, list[list[Cell]]] = {}
        self._scorers: dict[str, list[Scorer]] = {}
        self.measured = tuple(
            changed for changed in PAIRS if all(found.cells[one.name].of(changed).all() for one in members)
        )
        for changed in self.measured:
            cases = found.cases.of(changed)
            self._cells[changed] = [found.cells[one.name].of(changed).of(cases) for one in members]
            self._scorers[changed] = [scoring.on(cases, cells) for cells in self._cells[changed]]

    @property
    def columns(self) -> dict[str, Any]:
        """What the tables say of the group."""
        first = self.members[0]
        return {
            "role": first.role,
            "writer": first.writer,
            "reader": first.reader,
            "curriculum": first.curriculum,
            "n_seeds": len(self.members),
        }

    @property
    def decided(self) -> list[Decision]:
        """Decisions on both prompts of all field pairs, of all seeds."""
        return [d for cells in self._cells["field"] for cell in cells for d in cell.decisions]

    @property
    def rows(self) -> list[Row]:
        """One row per arrangement, pair and arm."""
        return [row for scorers in self._scorers.values() for one in scorers for row in one.rows]

    def accuracy(self, side: str, changed: str = "field") -> Together:
        """Share of right decisions on field pairs, on one side of the field or on both.

        Args:
            side: of the field.
            changed: ``"field"``, or ``"field_late"`` for those with the field after the rule.
        """
        chosen = [
            [
                d
                for cell in cells
                for d in cell.decisions
                if side == "both" or d.gold_is_match == (side == "match")
            ]
            for cells in self._cells[changed]
        ]
        right = np.array([[d.right for d in seed] for seed in chosen], float)
        families, how = [d.family for d in chosen[0]], self.scoring.resampling
        return Together(
            share_over_seeds(right, families, **how),
            [share_over_seeds(one[None], families, **how) for one in right],
            None,
        )

    def arms(self, changed: str) -> list[str]:
        """Names of spans and of their keys and values."""
        names = self._cells[changed][0][0].parts
        return [name for name in names if not name.startswith("kind: ") and "patch" not in name]

    def kinds(self, changed: str) -> dict[str, float]:
        """Kinds of tokens of the notes, with their number in a prompt."""
        cells = self._cells[changed][0]
        names = dict.fromkeys(kind for cell in cells for kind in cell.kinds)
        return {kind: float(np.mean([cell.kinds.get(kind, 0) for cell in cells])) for kind in names}

    def recovery(self, changed: str, arm: str, *, rows: bool = False) -> Together:
        """Recovery of one part of the cache; a prompt without tokens of a kind has nothing patched."""
        above, below = [], []
        scorers = self._scorers[changed]
        for one, scorer, cells in zip(self.members, scorers, self._cells[changed], strict=True):
            patched = stacked(cells, lambda cell: cell.parts.get(arm, cell.corrupt))
            if rows:
                scorer.arm(f"{one.name}/{changed}/{arm}", patched)
            # Near ties carry no signal, as in every recovery.
            kept = np.abs(scorer.gap) > scorer.floor
            above.append(np.where(kept, patched - scorer.corrupt, 0.0))
            below.append(np.where(kept, scorer.gap, 0.0))
        return self._together(np.array(above), np.array(below), scorers[0].families)

    def control_errors(self) -> tuple[float, float]:
        """Largest distance of the full patch from clean, and of the self patch from corrupt, in logits."""
        cells = [cell for by_seed in self._cells.values() for seed in by_seed for cell in seed]
        full = max(abs(cell.parts["full_patch"] - cell.clean) for cell in cells)
        return full, max(abs(cell.parts["self_patch"] - cell.corrupt) for cell in cells)

    def _together(
        self,
        above: Float[np.ndarray, "seeds instances"],
        below: Float[np.ndarray, "seeds instances"],
        families: Sequence[str],
    ) -> Together:
        how = self.scoring.resampling
        each = zip(above[:, None], below[:, None], strict=True)
        return Together(
            ratio_over_seeds(above, below, families, **how),
            [ratio_over_seeds(one, under, families, **how) for one, under in each],
            sd_over_seeds(above, below, families, **how) if len(above) > 1 else None,
        )


def groups(found: Measured, scoring: Scoring[OriginSettings]) -> list[Group]:
    """All groups, in the order of the arrangements."""
    by_name: dict[tuple[str | None, ...], list[Arrangement]] = {}
    for one in found.arrangements:
        by_name.setdefault((one.role, one.writer, one.reader, one.curriculum), []).append(one)
    return [Group(members, found, scoring) for members in by_name.values()]
