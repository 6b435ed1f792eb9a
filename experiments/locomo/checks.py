"""Checks with known answers on the first history: splices that change nothing, turned keys, gold answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.locomo.answers import score
from experiments.locomo.arms import compiled
from experiments.locomo.cases import History, Wording
from experiments.locomo.reading import ADVERSARIAL, Question
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.controls import size_of
from pkv_interp.measure.splices import first_keys_apart, spliced_in_context
from pkv_interp.memory import Conversation
from pkv_interp.memory.splices import SHOWS, unturned
from pkv_interp.models.load import LoadedModel

if TYPE_CHECKING:
    from experiments.locomo.settings import LocomoSettings
    from pkv_interp.run.session import Session

#: Sessions of the first history that are checked; what is known of two is known of more.
SESSIONS = 2


@dataclass(frozen=True)
class Checks:
    """Errors of what is known.

    Attributes:
        own_position: of sessions spliced where they were computed, in logits.
        whole_sessions: of sessions that are spliced and then run anew whole, in logits.
        turned: of the first layer's keys of sessions made apart, as a share of the largest.
        unturned: the same of keys that were not turned: no error, but what such an error looks like.
        noise: of a prefill in two parts, in logits.
        size: no error but the largest logit, which rounding is a share of.
    """

    own_position: float
    whole_sessions: float
    turned: float
    unturned: float
    noise: float
    size: float


def check_splices(session: "Session[LocomoSettings]", histories: Sequence[History], wording: Wording) -> None:
    """Stop the run where splicing or scoring does not do what it says; set the noise floor.

    Args:
        session: of the run.
        histories: all of them; the first is checked, and the questions of all.
        wording: of the first.

    Raises:
        ControlFailure: an error is too large.
    """
    first = histories[0]
    found = session.once("splice checks", lambda: measure_checks(session.loaded, first, wording), Checks)
    session.size = found.size
    allowed = session.tolerance
    told = f"the first {min(SESSIONS, len(first.sessions))} sessions of conversation {first.instance}"
    keys = f"first layer's keys against a full prefill's, as a share, {told}"
    logits = f"logits, {told}"
    session.control("session_at_own_position", found.own_position, 0.0, allowed.logits, logits)
    session.control("whole_sessions_run_anew", found.whole_sessions, 0.0, allowed.logits, logits)
    session.control("turned_keys", found.turned, 0.0, allowed.keys, keys)
    shows = float(found.unturned > max(SHOWS, allowed.keys))
    session.control("unturned_keys_show", shows, 1.0, 0.0, f"1 where they differ, {keys}")
    session.control("extend_equals_prefill", found.noise, 0.0, allowed.logits, logits)
    asked = [one for history in histories for one in history.questions]
    session.control("gold_answers_are_right", gold_share(asked), 1.0, 0.0, f"share of {len(asked)} questions")
    session.set_noise_floor(max(found.noise, found.own_position, found.whole_sessions))


def measure_checks(loaded: LoadedModel, history: History, wording: Wording) -> Checks:
    """The errors on the first sessions of a history.

    Args:
        loaded: the model.
        history: whose sessions and first question are taken.
        wording: of its question.
    """
    runner, tokenizer = Runner.of(loaded.model), loaded.tokenizer
    texts = history.sessions[:SESSIONS]
    memory, suffix = compiled(loaded, texts), wording.asked(texts, history.questions[0].text)
    opening = Conversation.begin(loaded.model, tokenizer, wording.head.prompt.ids)
    spliced = opening.attach(memory)
    full = runner.prefill(spliced.ids).cache
    whole = runner.prefill((*spliced.ids, *suffix)).logits
    extended = runner.extend(full, suffix).logits
    assert opening.cache is not None
    assert spliced.cache is not None
    spans, at = [], opening.length
    for chunk in memory.chunks:
        spans.append((at, at + chunk.length))
        at += chunk.length
    own = spliced_in_context(runner, tokenizer, opening.cache, spliced.ids, spans)
    anew = opening.attach(memory, seam=memory.length)
    bare = unturned(opening, memory).cache
    assert bare is not None
    return Checks(
        own_position=float((runner.extend(own, suffix).logits - extended).abs().max()),
        whole_sessions=float((anew.logits(suffix) - extended).abs().max()),
        turned=first_keys_apart(spliced.cache, full),
        unturned=first_keys_apart(bare, full),
        noise=float((extended - whole).abs().max()),
        size=size_of(whole),
    )


def gold_share(questions: Sequence[Question]) -> float:
    """Share of questions whose own gold answer is scored as wholly right.

    Args:
        questions: of any category; an adversarial one has no gold answer and is left out.
    """
    judged = [one for one in questions if one.category != ADVERSARIAL]
    scores = [score(one.gold, one) for one in judged]
    return sum(one.f1 == 1.0 and one.contained and one.inside for one in scores) / max(len(scores), 1)
