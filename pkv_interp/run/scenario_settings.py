"""Settings of experiments whose prompts are made from scenarios, or are a researcher's own pairs."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from pkv_interp.errors import PkvError
from pkv_interp.run.data_file import DataFile, OwnFile, opened
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.together import refuse_unused_values, refuse_with_pairs
from pkv_interp.run.values import Name, Names
from pkv_interp.tasks import Family, Scenarios, Style, default_scenarios
from pkv_interp.tasks.checks import check_tokens
from pkv_interp.tasks.findings import refuse
from pkv_interp.tasks.layouts import Layout
from pkv_interp.tasks.pairs import check_pairs


class ScenarioSettings(ExperimentSettings):
    """Keys of experiments whose prompts are made from scenarios.

    Attributes:
        scenarios: families, layouts and rule wordings, a YAML or JSON file; None: the packaged ones.
        layout: name of the layout in that file, or of a packaged one for code; None: the file's first one.
    """

    #: Why the experiment cannot be run in a layout whose rule is code; None where it can.
    NOT_IN_CODE: ClassVar[str | None] = None

    scenarios: OwnFile = None
    layout: Name | None = None

    @model_validator(mode="after")
    def _code_where_it_can_be(self) -> Self:
        here = self.scenarios is None or self.scenarios.is_here
        if self.NOT_IN_CODE is not None and here and self.laid_out.is_code:
            raise PkvError(
                f"the rule of the layout '{self.laid_out.name}' is code, and {self.NOT_IN_CODE}",
                "leave layout out, or name one whose rule is a sentence",
            )
        return self

    @field_validator("layout")
    @classmethod
    def _there_is_one(cls, name: str | None, info: ValidationInfo) -> str | None:
        world = _world(info)
        if name is not None and world is not None:
            world.layout(Style(layout=name))
        return name

    @model_validator(mode="after")
    def _values_are_used(self) -> Self:
        values = getattr(self, "values", {})
        if values and (self.scenarios is None or self.scenarios.is_here):
            refuse_unused_values(values, self.used_families())
        return self

    def used_families(self) -> list[str]:
        """Names of the families that the run uses."""
        return [family.name for family in self.chosen(getattr(self, "families", None))]

    @property
    def laid_out(self) -> Layout:
        """The layout that the prompts have.

        Raises:
            PkvError: the scenarios have problems.
        """
        return world_of(self.scenarios).layout(Style(layout=self.layout))

    @property
    def world(self) -> Scenarios:
        """The scenarios, with the rules that the layout has of its own.

        Raises:
            PkvError: the file has problems; all of them are named.
        """
        return world_of(self.scenarios).in_layout(self.layout)

    def chosen(self, names: tuple[str, ...] | None) -> list[Family]:
        """Families by name; None stands for all.

        Raises:
            PkvError: a name is unknown.
        """
        return list(self.world.families) if names is None else self.world.choose(names)

    def checked_world(self, tokenizer: Any) -> Scenarios:
        """The scenarios, once every family has aligned values and one-token actions under a tokenizer.

        Raises:
            PkvError: a family has not; those of the packaged file are checked when a case is made.
        """
        if self.scenarios is not None:
            refuse(check_tokens(self.world, tokenizer))
        return self.world

    def split(self, name: str, chosen: tuple[str, ...] | None, least: int = 1) -> list[str]:
        """Names of the families of a split: those chosen, or all of it.

        Args:
            name: of the split.
            chosen: names of families, None for all.
            least: how many there must be.

        Raises:
            PkvError: the scenarios have none, or fewer than that, in that split.
        """
        names = list(chosen) if chosen is not None else [family.name for family in self.world.split(name)]
        if not names:
            raise PkvError(
                f"{self.world.source} has no family of the split '{name}'",
                "give families a split in the file, or name them",
            )
        if len(names) < least:
            raise PkvError(
                f"{self.world.source} has {len(names)} family of the split '{name}'",
                f"give at least {least} of them that split: intervals are over families",
            )
        return names


class PairSettings(ScenarioSettings):
    """Keys of experiments that need no rule and run on a researcher's own pairs as well.

    Attributes:
        pairs: a JSONL file of pairs, which then stand in for scenarios.
    """

    #: Keys that say what scenarios are like; none of them can hold for prompts that are given.
    SCENARIOS_ONLY: ClassVar[frozenset[str]] = frozenset(
        {"scenarios", "layout", "families", "discovery", "held_out", "values", "n_fillers", "fillers", "chat"}
    )

    pairs: Annotated[OwnFile, BeforeValidator(lambda value: _checked_pairs(value))] = None

    @model_validator(mode="before")
    @classmethod
    def _pairs_first(cls, values: Any) -> Any:
        # What is wrong with a key that has no place here would lead astray.
        if isinstance(values, dict):
            refuse_with_pairs(values, {"scenarios", "layout", "families", "discovery", "held_out", "values"})
        return values

    @model_validator(mode="after")
    def _of_pairs_alone(self) -> Self:
        if self.pairs is not None:
            for name in sorted(self.SCENARIOS_ONLY & set(type(self).model_fields)):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise PkvError(
                        f"'{name}' is about scenarios, and pairs stand in for them",
                        f"leave out {name}, or pairs",
                    )
        return self


def _checked_pairs(value: Any) -> Any:
    file = opened(value)
    if isinstance(file, DataFile) and file.is_here:
        refuse(check_pairs(file.path))
    return file


def world_of(file: DataFile | None) -> Scenarios:
    """The scenarios of a file, or the packaged ones."""
    return default_scenarios() if file is None else _loaded(file.path, file.sha256)


@lru_cache
def _loaded(path: Path, _sha256: str) -> Scenarios:
    """The scenarios of a file, read once for each content that it has."""
    return Scenarios.load(path)


def _world(info: ValidationInfo) -> Scenarios | None:
    """The scenarios of the settings that are being made; None where only the hash of their file is known."""
    file = info.data.get("scenarios")
    return None if file is not None and not file.is_here else world_of(file)


def of_split(
    names: tuple[str, ...] | None, info: ValidationInfo, least: int, split: str | None = None
) -> tuple[str, ...] | None:
    """Refuse families of another split, named twice, or too few.

    Args:
        names: of families; None stands for the whole split.
        info: of the key.
        least: how many there must be.
        split: of which they must be; None: the one that the key is named after.

    Raises:
        ValueError: as pydantic wants it.
        PkvError: a family is unknown.
    """
    world = _world(info)
    # A family that ranks sites and scores them as well would make every score too good.
    stray = (
        [f.name for f in world.choose(names or ()) if f.split != (split or info.field_name)] if world else []
    )
    if stray:
        raise ValueError(f"'{stray[0]}' is of the other split")
    if names is not None and len(set(names)) < max(least, len(names)):
        raise ValueError(f"name at least {('one family', 'two families')[least - 1]}, each once")
    return names


def several(names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
    """Refuse a single family: intervals and tests are over families, and one alone has neither.

    Raises:
        ValueError: as pydantic wants it.
        PkvError: a family is unknown.
    """
    world = _world(info)
    if names is not None and world is not None and len({f.name for f in world.choose(names)}) < 2:
        raise ValueError("name at least two families")
    return names


def known(names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
    """Refuse families that the scenarios do not have.

    Raises:
        PkvError: a family is unknown.
    """
    world = _world(info)
    if names is not None and world is not None:
        world.choose(names)
    return names


def values_of_families(
    values: dict[str, tuple[str, str]], info: ValidationInfo
) -> dict[str, tuple[str, str]]:
    """Refuse values of a family that is not known, and two values that are one.

    Raises:
        ValueError: as pydantic wants it.
        PkvError: a family is unknown.
    """
    known(tuple(values), info)
    for family, (first, second) in values.items():
        if first.strip() == second.strip():
            raise ValueError(f"the two values of {family} are the same")
    return values


#: Scenario families; None stands for all.
AnyFamilies = Annotated[Names | None, AfterValidator(known)]
#: Scenario families, two or more; None stands for all.
SeveralFamilies = Annotated[Names | None, AfterValidator(several)]
#: Two values of a field by family.
FieldValues = Annotated[
    dict[Name, tuple[Name, Name]], Field(max_length=256), AfterValidator(values_of_families)
]
