"""Scenarios: families with their splits, rule wordings, layouts and fillers, as one file gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from pkv_interp.errors import PkvError, suggestion
from pkv_interp.tasks.findings import refuse
from pkv_interp.tasks.layouts import BEFORE_VALUE, Layout, Style
from pkv_interp.tasks.scenario_file import parse_scenarios
from pkv_interp.tasks.scenario_schema import LayoutEntry, ScenarioFile
from pkv_interp.tasks.session_fields import SessionField

#: The source of the scenarios that are part of the package.
PACKAGED = "packaged"
SPLITS = ("discovery", "held_out", "confirm")


@dataclass(frozen=True)
class Family:
    """One scenario family.

    Attributes:
        name: identifier, used in records and splits.
        role: system message.
        field: label of the mutable field.
        values: 2 to 4 values of one kind; two of equal token length make a case.
        actions: the two decision words.
        request: the turn that asks for a decision; ``{id}`` is filled with a record number.
        split: ``"discovery"`` families rank sites, ``"held_out"`` ones score them, ``"confirm"`` ones are for
            a single confirmatory run.
        before_value: what stands before a value in the layout, where the tokens of values are counted.
    """

    name: str
    role: str
    field: str
    values: tuple[str, ...]
    actions: tuple[str, str]
    request: str
    split: str = "confirm"
    before_value: str = BEFORE_VALUE


@dataclass(frozen=True)
class Scenarios:
    """Everything that prompts are made of.

    Attributes:
        source: the file.
        families: in the order of the file.
        rules: wording name to ``str.format`` template of ``field``, ``trigger``, ``act`` and ``other``.
        layouts: the first one is the default.
        fillers: neutral sentences.
        tools: description of tools.
        planted: a conclusion drawn earlier; takes ``action``.
        bystanders: fields that no rule speaks of, with their values.
        low: session fields that nothing depends on.
        medium: session fields that a soft rule names.
    """

    source: str
    families: tuple[Family, ...]
    rules: dict[str, str]
    layouts: tuple[Layout, ...]
    fillers: tuple[str, ...]
    tools: str
    planted: str
    bystanders: dict[str, tuple[str, ...]]
    low: tuple[SessionField, ...]
    medium: tuple[SessionField, ...]

    @classmethod
    def load(cls, path: str | Path) -> Scenarios:
        """Read a YAML or JSON file; sections that it leaves out are those of the packaged file.

        Raises:
            FileProblems: the file has problems (`pkv_interp.tasks.checks.check_scenarios` lists them).
        """
        found, problems = parse_scenarios(path)
        refuse(problems)
        assert found is not None
        return _assemble(found, str(path), default_scenarios())

    @cached_property
    def by_name(self) -> dict[str, Family]:
        """Families by name."""
        return {family.name: family for family in self.families}

    def split(self, name: str) -> tuple[Family, ...]:
        """The families of a split, in the order of the file.

        Raises:
            PkvError: there is no such split.
        """
        if name not in SPLITS:
            raise PkvError(f"unknown split '{name}'", f"choose from {', '.join(SPLITS)}")
        return tuple(family for family in self.families if family.split == name)

    def choose(self, names: Sequence[str]) -> list[Family]:
        """Families by name, in the order given.

        Raises:
            PkvError: a name is unknown.
        """
        unknown = [name for name in names if name not in self.by_name]
        if unknown:
            raise PkvError(f"unknown scenario family '{unknown[0]}'", suggestion(unknown[0], self.by_name))
        return [self.by_name[name] for name in names]

    def position(self, family: Family) -> int:
        """The family's place in the file, from which turns of wordings and fields are counted.

        Raises:
            PkvError: it is none of these scenarios.
        """
        names = list(self.by_name)
        if family.name not in names:
            raise PkvError(f"unknown scenario family '{family.name}'", f"choose from {', '.join(names)}")
        return names.index(family.name)

    def rule(self, wording: str) -> str:
        """The rule template of a wording.

        Raises:
            PkvError: the wording is unknown.
        """
        if wording not in self.rules:
            raise PkvError(f"unknown rule wording '{wording}'", f"choose from {', '.join(self.rules)}")
        return self.rules[wording]

    def layout(self, style: Style) -> Layout:
        """The layout that a style names: one of these scenarios, or a packaged one for code.

        Raises:
            PkvError: there is none of this name.
        """
        if style.layout is None:
            return self.layouts[0]
        named = {layout.name: layout for layout in self.layouts}
        if style.layout in named:
            return named[style.layout]
        packaged = {layout.name: layout for layout in code_layouts()}
        if style.layout not in packaged:
            known = named if self.source != PACKAGED else {**named, **packaged}
            raise PkvError(f"unknown layout '{style.layout}'", suggestion(style.layout, known))
        return packaged[style.layout]

    def in_layout(self, name: str | None) -> Scenarios:
        """The scenarios as one layout has them; the same ones where it takes the rules that they have.

        For a layout with rules of its own these are the rules, it is the only layout, and labels of fields
        are written as it writes them.

        Args:
            name: of the layout, None for the first.

        Raises:
            PkvError: there is none of this name.
        """
        layout = self.layout(Style(layout=name))
        if layout.rules is None:
            return self
        families = tuple(_in_layout(family, layout) for family in self.families)
        return replace(self, families=families, rules=dict(layout.rules), layouts=(layout,))

    def placed(self, family: Family, style: Style) -> Family:
        """The family as the layout of a style writes it."""
        return _in_layout(family, self.layout(style))


@cache
def default_scenarios() -> Scenarios:
    """The packaged scenarios."""
    return _assemble(_packaged("scenarios.yaml"), PACKAGED, None)


@cache
def code_layouts() -> tuple[Layout, ...]:
    """The packaged layouts in which the rule is code; they serve scenarios of one's own as well."""
    return tuple(_layout(entry) for entry in _packaged("code_layouts.yaml").layouts or ())


def _packaged(name: str) -> ScenarioFile:
    found, problems = parse_scenarios(Path(str(files("pkv_interp.tasks") / "data" / name)))
    refuse(problems)
    assert found is not None
    return found


def _in_layout(family: Family, layout: Layout) -> Family:
    if not layout.is_code:
        return family
    return replace(family, field=layout.label(family.field), before_value=layout.before_value)


def _assemble(found: ScenarioFile, source: str, default: Scenarios | None) -> Scenarios:
    """The scenarios of a checked file; what it leaves out is taken from ``default``."""
    given: dict[str, Any] = {} if default is None else dict(vars(default))
    given.pop("by_name", None)
    if found.families is not None:
        given["families"] = tuple(Family(**entry.model_dump()) for entry in found.families)
    if found.layouts is not None:
        given["layouts"] = tuple(_layout(entry) for entry in found.layouts)
    if found.session_fields is not None:
        for name in ("low", "medium"):
            entries = getattr(found.session_fields, name)
            given[name] = tuple(SessionField(**entry.model_dump()) for entry in entries)
    for name in ("rules", "fillers", "tools", "planted", "bystanders"):
        value = getattr(found, name)
        if value is not None:
            given[name] = value
    given["source"] = source
    return Scenarios(**given)


def _layout(entry: LayoutEntry) -> Layout:
    plain = entry.model_dump(exclude={"turns", "reply", "order", "join"})
    join: dict[str, Any] = {} if entry.join is None else {"join": entry.join}
    return Layout(**plain, **join, order=entry.blocks, reply=entry.said_between)
