"""A scenario's pair written as a prompt of the reader's own."""

from experiments.explore.pair import Pair
from experiments.explore.state import Own
from pkv_interp.prompts.segments import Message


def own_of(pair: Pair) -> Own:
    """The text of a pair with its field marked; a prompt of several turns keeps the last two messages."""
    case = pair.case
    first, other = (
        "".join(prompt.tokens[slice(*case.change)]).strip() for prompt in (case.clean, case.corrupt)
    )
    name = pair.field if case.changed in ("field", pair.field) else case.changed
    marked = case.changed if case.changed not in ("field", pair.field) else pair.field
    system = [message for message in pair.messages if message.role == "system"]
    asked = [message for message in pair.messages if message.role != "system"]
    mark = f"[[{name}: {first} | {other}]]"
    return Own(
        system="\n\n".join(_written(message, marked, mark) for message in system),
        context="\n\n".join(_written(message, marked, mark) for message in asked),
        question=pair.question,
        cue=pair.cue,
        actions=case.actions,
        chat=pair.chat,
    )


def _written(message: Message, marked: str, mark: str) -> str:
    return "".join(mark if segment.name == marked else segment.text for segment in message.segments)
