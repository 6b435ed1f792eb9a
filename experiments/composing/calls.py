"""Tool specifications as chunks: a request is answered by a function call, which is parsed and compared."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from experiments.composing.requests import Request, build_requests
from experiments.composing.spliced import TRANSPLANT
from pkv_interp.cache import FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.composing import precompile, splice
from pkv_interp.editing.generation import generate

if TYPE_CHECKING:
    from experiments.composing.settings import ComposingSettings
    from pkv_interp.run.session import Session

#: The arm of the full prefill.
FULL = "full"


@dataclass(frozen=True)
class Answer:
    """What was written to one request.

    Attributes:
        function: that the request is for.
        text: as it was written.
        called: the call in it as JSON, None where it holds none.
        right: the call is the right one.
    """

    function: str
    text: str
    called: str | None
    right: bool


def write_call(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    cache: FrozenCache,
    ids: Sequence[int],
    most: int,
) -> tuple[str, Any]:
    """Greedy text after a cache and the prompt's last tokens, up to a blank line, and the call in it.

    The prompt ends in an opening brace, which the text begins with; without a call there is None.

    Args:
        runner: of the model.
        tokenizer: of the model.
        cache: of the prompt up to ``ids``.
        ids: the rest of the prompt.
        most: new tokens.
    """
    text = "{" + generate(runner, tokenizer, cache, ids, most, stop=("\n\n",)).text
    return text, parsed(text)


def parsed(text: str) -> tuple[str, dict[str, Any]] | None:
    """The function call that a text starts with, or None where it holds none."""
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return None
    arguments = found.get("arguments")
    return (found["name"], arguments) if isinstance(arguments, dict) else None


def answer(
    runner: Runner, tokenizer: PreTrainedTokenizerBase, request: Request, arm: str, most: int
) -> Answer:
    """The call of one request.

    Args:
        runner: of the model.
        tokenizer: of the model.
        request: to answer.
        arm: ``"full"``, or ``"transplant"``: the specification is a chunk that was made alone.
        most: new tokens.
    """
    ids, (start, stop) = request.prompt.ids, request.span
    cache = runner.prefill(ids[: start if arm == TRANSPLANT else stop]).cache
    if arm == TRANSPLANT:
        cache = splice(runner, cache, precompile(runner, tokenizer, ids[start:stop]))
    text, call = write_call(runner, tokenizer, cache, ids[stop:], most)
    called = None if call is None else json.dumps(call, sort_keys=True)
    return Answer(request.function, text, called, call == request.call)


def right_share(answers: Sequence[Answer]) -> float:
    """Share of requests whose call is the right one."""
    return sum(one.right for one in answers) / len(answers)


def measure_calls(session: "Session[ComposingSettings]", runner: Runner) -> dict[str, list[Answer]]:
    """Answers by arm; the transplant is tried only where the full prefill passes the gate.

    Args:
        session: of the run.
        runner: of the model.

    Returns:
        ``full``, and ``transplant`` where it was tried; nothing where no requests were asked for.
    """
    settings, tokenizer = session.settings, session.tokenizer
    requests = build_requests(settings, tokenizer)

    def under(arm: str) -> list[Answer]:
        return session.each(
            f"calls {arm}",
            requests,
            lambda request: answer(runner, tokenizer, request, arm, settings.tool_tokens),
            Answer,
        ).of(requests)

    if not requests:
        return {}
    full = under(FULL)
    if right_share(full) < settings.competence_threshold:
        return {FULL: full}
    return {FULL: full, TRANSPLANT: under(TRANSPLANT)}
