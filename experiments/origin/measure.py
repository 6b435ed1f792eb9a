"""What the experiment measures: every pair under every arrangement, after the trainings that it needs."""

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING

from experiments.origin.cases import PAIRS, Arrangement, Cases, arrangements, build_cases
from experiments.origin.cells import Cell, Models
from experiments.origin.fitting import Training
from experiments.origin.settings import OriginSettings
from pkv_interp.measure.crossing import read_by
from pkv_interp.measure.pairs import run_pair
from pkv_interp.run.stage import Stage
from pkv_interp.training.probes import seen_in_training

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Cells:
    """All pairs under one arrangement, by what differs in them; of pairs that it is not measured on, none."""

    field: Stage[Cell]
    trigger: Stage[Cell]
    field_late: Stage[Cell] = dataclass_field(default_factory=lambda: Stage[Cell]({}))
    trigger_late: Stage[Cell] = dataclass_field(default_factory=lambda: Stage[Cell]({}))

    def of(self, changed: str) -> Stage[Cell]:
        """The pairs of one of ``cases.PAIRS``."""
        return dict(zip(PAIRS, (self.field, self.trigger, self.field_late, self.trigger_late), strict=True))[
            changed
        ]


@dataclass(frozen=True)
class Crossed:
    """Largest difference of logits between a prefill and its own cache read again."""

    own_cache: float


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        cells: by the name of the arrangement.
        trainings: by the name of the arrangement; none of crossovers.
    """

    cases: Cases
    arrangements: list[Arrangement]
    cells: dict[str, Cells]
    trainings: dict[str, Training]


def measure(session: "Session[OriginSettings]") -> Measured:
    """Train what is to be trained, and measure every pair under every arrangement."""
    settings = session.settings
    # Prompts are checked before minutes of training, and not after them.
    cases = build_cases(settings, session.tokenizer)
    if seen := seen_in_training(settings.world):
        session.run.remarks.append(
            f"the training uses words of {', '.join(seen)}: their accuracy says little about new domains"
        )
    if settings.model.adapter is None:
        session.run.remarks.append("the model has no adapter: of the crossover, its own cell alone is there")
    session.check_engine(cases.ends)
    crossed = session.once("own cache", lambda: _crossed(session, cases), Crossed)
    session.control(
        "own_cache_read_again",
        crossed.own_cache,
        0.0,
        session.tolerance.logits,
        "logits, a decision token over the cache of its own model against the prefill, 2 cases",
    )
    models, chosen = Models(session), arrangements(settings)
    cells: dict[str, Cells] = {}
    trainings: dict[str, Training] = {}
    for one in chosen:
        if one.curriculum is not None:
            trainings[one.name] = models.fitting.training(one)
        cells[one.name] = Cells(
            *(
                session.each(
                    f"{one.name}/{changed}",
                    cases.of(changed),
                    lambda case, one=one: models.cell(one, case),
                    Cell,
                )
                for changed in one.pairs
            )
        )
    return Measured(cases, chosen, cells, trainings)


def _crossed(session: "Session[OriginSettings]", cases: Cases) -> Crossed:
    """The same decisions on two routes: whole prompts, and the last token over what came before it."""
    worst = 0.0
    for case in (cases.field[0], cases.trigger[-1]):
        pair = run_pair(session.engine, case, ())
        again = read_by(session.engine, pair, session.engine)
        for one, two in ((pair.clean, again.clean), (pair.corrupt, again.corrupt)):
            worst = max(worst, float((one.logits - two.logits).abs().max()))
    return Crossed(worst)
