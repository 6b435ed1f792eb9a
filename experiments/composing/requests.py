"""Requests that are answered by calling one of six functions; the specification is a block of the prompt."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase

from pkv_interp.prompts.blocks import Span
from pkv_interp.prompts.segments import Message, Prompt, Segment, build

if TYPE_CHECKING:
    from experiments.composing.settings import ComposingSettings

_ASK = (
    "You answer by calling one of the functions below. Write one JSON object and nothing else, with the keys "
    '"name" and "arguments".\n'
)


@dataclass(frozen=True)
class Function:
    """A function with one argument, requests for it, and what the argument is in each."""

    name: str
    says: str
    argument: str
    request: str
    values: tuple[str, ...]


FUNCTIONS: tuple[Function, ...] = (
    Function(
        "get_weather", "Weather of a city.", "city", "How is the weather in {}?", ("Lima", "Oslo", "Cairo")
    ),
    Function(
        "play_song", "Play a song.", "title", "Please play the song {}.", ("Yesterday", "Hurt", "Imagine")
    ),
    Function(
        "find_book", "Look for a book.", "author", "Find me a book by {}.", ("Kafka", "Woolf", "Borges")
    ),
    Function("call_person", "Call somebody.", "person", "Give {} a call.", ("Anna", "Peter", "Maria")),
    Function("translate_word", "Translate a word.", "word", "Translate {}.", ("river", "bread", "stone")),
    Function("show_map", "Show a map.", "country", "Show me a map of {}.", ("Chile", "Kenya", "Japan")),
)


@dataclass(frozen=True)
class Request:
    """One request: the prompt, the span of the specification, and the call that is right."""

    function: str
    value: str
    prompt: Prompt
    span: Span
    call: tuple[str, dict[str, str]]

    @property
    def instance(self) -> str:
        """Names it among the requests of a run."""
        return f"{self.function}-{self.value}"


def build_requests(settings: "ComposingSettings", tokenizer: PreTrainedTokenizerBase) -> list[Request]:
    """``settings.tool_values`` requests for every function, which stands once in every place of the list."""
    requests: list[Request] = []
    for at in range(settings.tool_values):
        for number, function in enumerate(FUNCTIONS):
            turned = [FUNCTIONS[(i + 2 * number + at) % len(FUNCTIONS)] for i in range(len(FUNCTIONS))]
            specification = "\n".join(
                json.dumps({"name": f.name, "description": f.says, "parameters": {f.argument: "string"}})
                for f in turned
            )
            value = function.values[at]
            system = (Segment("system", _ASK), Segment("tools", specification, "tools"))
            user = (Segment("conversation", function.request.format(value)),)
            prompt = build(
                (Message("system", system), Message("user", user)),
                Segment("decision", "{", "decision"),
                tokenizer,
                chat=settings.chat,
                thinking=settings.model.thinking,
            )
            call = (function.name, {function.argument: value})
            requests.append(Request(function.name, value, prompt, prompt.spans["tools"], call))
    return requests
