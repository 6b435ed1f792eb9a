"""Tool specifications as chunks: a request is answered by a function call, which is parsed and compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from experiments._composing_cases import Span
from experiments._composing_measures import TRANSPLANT
from pkv_interp.cache import FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.composing import precompile, splice
from pkv_interp.editing.generation import generate
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.segments import Message, Prompt, Segment, build

if TYPE_CHECKING:
    from experiments.composing import ComposingSettings

_ASK = (
    "You answer by calling one of the functions below. Write one JSON object and nothing else, with the keys "
    '"name" and "arguments".\n'
)


@dataclass(frozen=True)
class Tool:
    """A function with one argument, requests for it, and what the argument is in each."""

    name: str
    says: str
    argument: str
    request: str
    values: tuple[str, ...]


TOOLS: tuple[Tool, ...] = (
    Tool("get_weather", "Weather of a city.", "city", "How is the weather in {}?", ("Lima", "Oslo", "Cairo")),
    Tool("play_song", "Play a song.", "title", "Please play the song {}.", ("Yesterday", "Hurt", "Imagine")),
    Tool("find_book", "Look for a book.", "author", "Find me a book by {}.", ("Kafka", "Woolf", "Borges")),
    Tool("call_person", "Call somebody.", "person", "Give {} a call.", ("Anna", "Peter", "Maria")),
    Tool("translate_word", "Translate a word.", "word", "Translate {}.", ("river", "bread", "stone")),
    Tool("show_map", "Show a map.", "country", "Show me a map of {}.", ("Chile", "Kenya", "Japan")),
)


@dataclass(frozen=True)
class ToolItem:
    """One request: the prompt, the span of the specification, and the call that is right."""

    tool: str
    value: str
    prompt: Prompt
    span: Span
    call: tuple[str, dict[str, str]]


def tool_items(settings: "ComposingSettings", tokenizer: PreTrainedTokenizerBase) -> list[ToolItem]:
    """``settings.tool_values`` requests for every function, which stands once in every place of the list."""
    items: list[ToolItem] = []
    for at in range(settings.tool_values):
        for number, tool in enumerate(TOOLS):
            turned = [TOOLS[(i + 2 * number + at) % len(TOOLS)] for i in range(len(TOOLS))]
            spec = "\n".join(
                json.dumps({"name": t.name, "description": t.says, "parameters": {t.argument: "string"}})
                for t in turned
            )
            value = tool.values[at]
            system = (Segment("system", _ASK), Segment("tools", f"{spec}", "tools"))
            user = (Segment("conversation", tool.request.format(value)),)
            prompt = build(
                (Message("system", system), Message("user", user)),
                Segment("decision", "{", "decision"),
                tokenizer,
                chat=settings.chat,
                thinking=settings.model.thinking,
            )
            call = (tool.name, {tool.argument: value})
            items.append(ToolItem(tool.name, value, prompt, prompt.spans["tools"], call))
    return items


def answer(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    cache: FrozenCache,
    ids: Sequence[int],
    most: int,
) -> tuple[str, Any]:
    """Greedy text behind a cache and the prompt's last ``ids``, up to a blank line, and the call it holds.

    The prompt ends in an opening brace, which the text begins with; without a call there is None.
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


def measure_tools(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[ToolItem],
    most: int,
    *,
    arms: Sequence[str],
) -> list[dict[str, Any]]:
    """The call of each item under ``full`` and ``transplant``, as far as asked for."""
    lines: list[dict[str, Any]] = []
    for item in items:
        ids, (start, stop) = item.prompt.ids, item.span
        line: dict[str, Any] = {"tool": item.tool, "value": item.value}
        for arm in arms:
            cache = runner.prefill(ids[: start if arm == TRANSPLANT else stop]).cache
            if arm == TRANSPLANT:
                cache = splice(runner, cache, precompile(runner, tokenizer, ids[start:stop]))
            text, call = answer(runner, tokenizer, cache, ids[stop:], most)
            line[arm] = {
                "text": text,
                "called": None if call is None else json.dumps(call, sort_keys=True),
                "parsed": call is not None,
                "right": call == item.call,
            }
        lines.append(line)
    return lines


def right_share(lines: Sequence[Mapping[str, Any]], arm: str) -> float:
    """Share of requests whose call is the right one."""
    return sum(line[arm]["right"] for line in lines) / len(lines)


def called(settings: "ComposingSettings", runner: Runner, loaded: LoadedModel) -> list[dict[str, Any]]:
    """Function calls; the transplant is tried only where the full prefill passes the gate."""
    items = tool_items(settings, loaded.tokenizer)
    if not items:
        return []
    lines = measure_tools(runner, loaded.tokenizer, items, settings.tool_tokens, arms=["full"])
    if right_share(lines, "full") < settings.competence_threshold:
        return lines
    moved = measure_tools(runner, loaded.tokenizer, items, settings.tool_tokens, arms=[TRANSPLANT])
    return [line | more for line, more in zip(lines, moved, strict=True)]
