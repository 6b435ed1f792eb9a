"""What the experiment on LoCoMo measures: every history under every arm."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from experiments.locomo.arms import HistoryRun, run_history
from experiments.locomo.cases import History, Wording, fitting, histories
from experiments.locomo.checks import check_splices
from experiments.locomo.reading import Talk
from experiments.locomo.remarks import answers_remark, history_remarks
from pkv_interp.cache.compute import Runner
from pkv_interp.composing import token_ids
from pkv_interp.errors import PkvError

if TYPE_CHECKING:
    from experiments.locomo.settings import LocomoSettings
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Measured:
    """All that was measured."""

    histories: list[HistoryRun]


def opened(session: "Session[LocomoSettings]") -> tuple[Talk, ...]:
    """The conversations that the run is keyed by.

    Raises:
        PkvError: their files were changed meanwhile, or malformed.
    """
    path = session.settings.path
    assert path is not None
    found = path.opened()
    if found.model_dump(mode="json") != session.run.asked.config["path"]:
        raise PkvError(f"the files of {found.name} changed while the run began", "run it again")
    return found.talks


def measure(session: "Session[LocomoSettings]") -> Measured:
    """Cut the histories to what the model serves, check splices, then answer every question."""
    settings, tokenizer = session.settings, session.tokenizer
    talks = opened(session)
    asked = histories(talks, settings)
    wordings = {one.instance: Wording.of(one.talk, tokenizer, settings) for one in asked}

    @cache
    def length(text: str) -> int:
        return len(token_ids(tokenizer, text))

    def tokens(one: History) -> int:
        wording = wordings[one.instance]
        longest = max(len(wording.asked(one.sessions, question.text)) for question in one.questions)
        before = len(wording.head.prompt.ids) + sum(map(length, one.sessions))
        return before + longest + settings.answer_tokens

    served = Runner.of(session.loaded.model).positions.served
    made = [fitting(one, served, tokens, settings) for one in asked]
    session.run.remarks += history_remarks(asked, made, settings, served)
    session.run.remarks += settings.more_than_there_are(len(talks))
    check_splices(session, made, wordings[made[0].instance])
    runs = session.each(
        "histories",
        made,
        lambda one: run_history(one, session.loaded, wordings[one.instance], settings),
        HistoryRun,
    ).of(made)
    session.run.remarks += answers_remark(runs, settings)
    return Measured(runs)
