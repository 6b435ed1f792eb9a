"""Reading a scenario file: YAML or JSON, checked entry by entry, with the line of every problem."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pkv_interp.tasks.findings import Finding, read_text
from pkv_interp.tasks.scenario_schema import (
    FamilyEntry,
    LayoutEntry,
    ScenarioFile,
    SessionFieldEntry,
    SessionFieldsEntry,
    Split,
)
from pkv_interp.tasks.strict_json import Unreadable, strict_json

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ONE_OF = {"families": "family", "layouts": "layout", "rules": "rule", "bystanders": "bystander"}
_MODELS: dict[str, type[BaseModel]] = {"families": FamilyEntry, "layouts": LayoutEntry}


def parse_scenarios(path: str | Path) -> tuple[ScenarioFile | None, list[Finding]]:
    """The file's content, and every problem that shows without a tokenizer.

    Raises:
        PkvError: the file cannot be read.
    """
    path = Path(path)
    text = read_text(path, "the scenario file")
    try:
        data = strict_json(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)
        root = yaml.compose(text, Loader=_Loader)
        twice = [] if root is None else list(_twice(root))
    except Unreadable as error:
        return None, [Finding(f"{path}:{error.line}", error.reason, "correct the syntax")]
    except RecursionError:
        return None, [Finding(str(path), "lists or mappings lie too deep inside each other", "flatten it")]
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        return None, [Finding(f"{path}{line}", f"not YAML ({error.problem})", "correct the syntax")]
    except yaml.YAMLError as error:
        return None, [Finding(str(path), f"not YAML ({error})", "correct the syntax")]
    except ValueError as error:  # a date that there is not, a number of thousands of digits
        return None, [Finding(str(path), f"a value cannot be read ({str(error)[:60]})", "put it in quotes")]
    source = _Source(path, data, root)
    problems = source.repeated()
    told = {finding.place.split(",")[0] for finding in problems}
    places = [(f"{path}:{second}", name, first) for name, first, second in twice]
    problems += [
        Finding(place, f"the key '{name}' stands in line {first} too", "leave one out")
        for place, name, first in places
        if place not in told
    ]
    try:
        found = ScenarioFile.model_validate(data)
    except ValidationError as error:
        details = error.errors()
        inner = {detail["loc"] for detail in details}
        # Entries that failed are not counted, so that a list looks short that is not.
        told = [d for d in details if d["type"] != "too_short" or not _holds(d["loc"], inner)]
        problems += [source.finding(detail) for detail in told]
        return None, problems
    return found, problems


def _twice(node: yaml.Node) -> Iterator[tuple[str, int, int]]:
    """Keys that stand twice in one mapping, at any depth, with both lines."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield key.value, seen[key.value], line
                seen.setdefault(key.value, line)
            yield from _twice(value)


class _Source:
    """A parsed file with the lines of its entries."""

    def __init__(self, path: Path, data: Any, root: yaml.Node | None) -> None:
        self.path, self.data, self.root = path, data, root

    def place(self, loc: Sequence[str | int]) -> str:
        """File, line and entry of a location such as ``("families", 2, "values")``."""
        line, node = 1, self.root
        for step in loc:
            if isinstance(node, yaml.MappingNode):
                pairs = {key.value: (key, value) for key, value in node.value}
                if step not in pairs:
                    break
                key, node = pairs[step]
                line = key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                break
        names = self._names(loc)
        return f"{self.path}:{line}" + (f", {names}" if names else "")

    def _names(self, loc: Sequence[str | int]) -> str:
        if not loc:
            return ""
        section, *rest = loc
        if not rest or section not in _ONE_OF:
            return ", ".join(_counted(step) for step in loc)
        entry, *inner = rest
        label = f"'{entry}'"
        if isinstance(entry, int):
            item = self.data[section][entry]
            name = item.get("name") if isinstance(item, dict) else None
            label = f"'{name}'" if isinstance(name, str) and name else f"number {entry + 1}"
        shown = [_counted(step) for step in inner if step != "[key]"]
        return ", ".join([f"{_ONE_OF[str(section)]} {label}", *shown])

    def finding(self, detail: ErrorDetails) -> Finding:
        """A failed check of pydantic's in our words."""
        loc = detail["loc"]
        context = detail.get("ctx", {})
        if detail["type"] == "check":
            return Finding(self.place(loc), context["reason"], context["suggestion"])
        if detail["type"] == "missing":
            if isinstance(loc[-1], int):
                return Finding(self.place(loc[:-1]), f"entry {loc[-1] + 1} is missing", "give two entries")
            return Finding(self.place(loc[:-1]), f"the key '{loc[-1]}' is missing", "add it")
        if detail["type"] == "extra_forbidden":
            known = _known_keys(loc)
            near = difflib.get_close_matches(str(loc[-1]), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys are {', '.join(known)}"
            return Finding(self.place(loc), f"unknown key '{loc[-1]}'", hint)
        got = detail["input"]
        if detail["type"] == "string_pattern_mismatch":
            return Finding(self.place(loc), "the text is empty", "write the text, or leave the key out")
        if detail["type"] == "string_type":
            return Finding(self.place(loc), f"{got!r} is no text", "put it in quotes")
        if detail["type"] in ("too_short", "too_long"):
            number = "two" if loc[-1] == "actions" else _length(context)
            return Finding(self.place(loc), f"{len(got)} entries", f"give {number}")
        if detail["type"] == "literal_error":
            options = ", ".join(get_args(Split)) if loc[-1] == "split" else context["expected"]
            return Finding(self.place(loc), f"unknown value '{got}'", f"choose {options}")
        return Finding(self.place(loc), detail["msg"].lower(), "see the packaged scenarios.yaml for the form")

    def repeated(self) -> list[Finding]:
        """Names that stand twice: keys of a mapping, and the names of families and of layouts."""
        out: list[Finding] = []
        for key, value in self.root.value if isinstance(self.root, yaml.MappingNode) else ():
            if isinstance(value, yaml.MappingNode):
                names = [(inner.value, inner) for inner, _ in value.value]
            elif isinstance(value, yaml.SequenceNode) and key.value in _MODELS:
                names = [
                    (inner.value, inner)
                    for item in value.value
                    if isinstance(item, yaml.MappingNode)
                    for label, inner in item.value
                    if label.value == "name"
                ]
            else:
                continue
            seen: dict[str, int] = {}
            for name, node in names:
                line = node.start_mark.line + 1
                if name in seen:
                    place = f"{self.path}:{line}, {_ONE_OF.get(key.value, key.value)} '{name}'"
                    out.append(Finding(place, f"the name stands in line {seen[name]} too", "rename one"))
                seen.setdefault(name, line)
        return out


def _holds(loc: tuple[str | int, ...], inner: Iterable[tuple[str | int, ...]]) -> bool:
    """Whether one of the ``inner`` locations lies in this one."""
    return any(len(other) > len(loc) and other[: len(loc)] == loc for other in inner)


def _counted(step: str | int) -> str:
    return f"number {step + 1}" if isinstance(step, int) else step


def _length(context: dict[str, Any]) -> str:
    low, high = context.get("min_length"), context.get("max_length")
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"{low} to {high}"


def _known_keys(loc: Sequence[str | int]) -> list[str]:
    if len(loc) == 1:
        return list(ScenarioFile.model_fields)
    if loc[0] == "session_fields":
        return list((SessionFieldsEntry if len(loc) == 2 else SessionFieldEntry).model_fields)
    return list(_MODELS[str(loc[0])].model_fields)
