"""How long the picture model is trained, on what, and at which rate."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from pkv_interp.training.picture_examples import MIXTURE, Level


@dataclass(frozen=True)
class PictureTraining:
    """Settings of one training.

    Attributes:
        tower_steps: steps in which the tower alone learns what is in each cell.
        simple_steps: of the steps after them, those that ask about one thing at a time, without prefaces; the
            tower learns until they end, and is left as it is from then on.
        steps: steps after the tower's, on answers.
        again_steps: rounds of steps after these, which ask more of what is hard; in each of them the rate
            rises to half of its height and falls once more.
        tower_batch: pictures of a step of the tower.
        batch: prompts of a step on answers.
        lr: learning rate at its highest; it falls as a cosine over the steps on answers.
        cell_weight: of the tower's own loss beside that of the answers.
        place_weight: of what the text stack's first blocks tell of each cell, beside that of the answers.
        name_weight: of what words tell of the things that they name, beside that of the answers, once the
            simple steps have ended.
        order_weight: of what tokens tell of which of two pictures they are about, from then on as well; in
            the rounds words alone are asked, which learn it later than picture tokens.
        checkpoint_every: steps between checkpoints.
        seed: of initial weights and of everything that is drawn.
    """

    tower_steps: int = 500
    simple_steps: int = 800
    steps: int = 2600
    again_steps: tuple[int, ...] = ()
    tower_batch: int = 64
    batch: int = 32
    lr: float = 1.5e-3
    cell_weight: float = 0.1
    place_weight: float = 0.2
    name_weight: float = 0.3
    order_weight: float = 0.3
    checkpoint_every: int = 50
    seed: int = 0

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.tower_steps + self.steps + sum(self.again_steps)

    def sees(self, step: int) -> bool:
        """Whether the tower learns in a step; its backward takes some two fifths of a step's time."""
        return step < self.tower_steps + self.simple_steps

    def level(self, step: int) -> Level:
        """Which questions a step asks."""
        if self.sees(step):
            return "simple"
        return "all" if step < self.tower_steps + self.steps else "hard"

    def facts(self) -> dict[str, Any]:
        """What the weights after a step depend on, as JSON holds it."""
        late = ("checkpoint_every", "again_steps")
        kept = {name: value for name, value in asdict(self).items() if name not in late}
        # A finished training may be gone on with, as the stages of any other schedule may.
        return {**kept, "examples": MIXTURE, "stages": list(self.again_steps)}

    def rate(self, step: int) -> float:
        """The learning rate of a step: a short rise at the start of each part, and the cosine."""
        if step < self.tower_steps:
            return self.lr * min(1.0, (step + 1) / 20)
        at, steps, height = step - self.tower_steps, self.steps, 1.0
        for round_steps in self.again_steps:
            if at >= steps:
                at, steps, height = at - steps, round_steps, 0.5
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * at / steps))
        return height * self.lr * min(1.0, (at + 1) / 50) * fall
