"""What a reader of the record should know that is no number of a table."""

from collections.abc import Sequence
from statistics import fmean

from experiments.locomo.arms import FULL, HistoryRun
from experiments.locomo.cases import History
from experiments.locomo.reading import ADVERSARIAL
from experiments.locomo.settings import LocomoSettings

#: Token F1 of the full prefill under which answers say little.
WEAK = 0.3


def history_remarks(
    asked: Sequence[History], made: Sequence[History], settings: LocomoSettings, served: int | None
) -> list[str]:
    """How much of the data set was read, and what cut it.

    Args:
        asked: histories as the settings ask for them.
        made: as the model's positions hold them.
        settings: of the run.
        served: positions of the model.
    """
    cut = [one.instance for one, other in zip(asked, made, strict=True) if one.sessions != other.sessions]
    told = [
        f"conversation {one.instance}: the first {len(one.sessions)} of {len(one.talk.sessions)} sessions, "
        f"{len(one.questions)} of the {one.answerable} questions that they answer"
        for one in made
    ]
    if cut:
        told.append(
            f"the {served} positions of {settings.model.name} hold fewer sessions than were asked for: "
            f"{', '.join(cut)} cut by sessions"
        )
    return told


def answers_remark(runs: Sequence[HistoryRun], settings: LocomoSettings) -> list[str]:
    """That answers are weak, where they are.

    Args:
        runs: all histories.
        settings: of the run.
    """
    f1 = [one.answers[FULL].f1 for run in runs for one in run.asked if one.category != ADVERSARIAL]
    if not f1 or fmean(f1) >= WEAK:
        return []
    return [
        f"the answers of {settings.model.name} are weak (token F1 under {WEAK} with a full prefill): this is "
        "a record of the machinery; read the agreement of logits and of greedy text, time and tokens"
    ]
