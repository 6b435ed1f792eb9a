"""Settings of the experiment on programmable caches."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from experiments.programmable.adapters import Adapter, GivenAdapter
from experiments.programmable.claims import parse
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import CATALOGUE
from pkv_interp.run.data_file import DataFile, opened
from pkv_interp.run.left_out import families_left_out
from pkv_interp.run.scenario_settings import ScenarioSettings, of_split
from pkv_interp.run.values import (
    AnyNames,
    Count,
    CountOrNone,
    Draws,
    FillerCounts,
    Shares,
    Sizes,
    Switch,
    Threshold,
)

#: What a run is judged by where no other file is named.
PREREGISTRATION = CATALOGUE.parent / "preregistration_programmable.yaml"
#: Roles of the adapters, in the order of the tables; base and gate are of the run's model.
PROGRAMMABLE, READER = "programmable", "reader"
ADAPTERS = (PROGRAMMABLE, READER, "control")
BASE, GATE = "base", "gate"


def _criteria(value: Any) -> Any:
    return opened(PREREGISTRATION if value is None else value)


class ProgrammableSettings(ScenarioSettings):
    """Settings of this experiment; configs/programmable.yaml says what each means."""

    NOT_IN_CODE: ClassVar[str | None] = "adapters are trained on rules in words"

    discovery: AnyNames | None = None
    held_out: AnyNames | None = None
    instances: Count = 2
    rank_instances: Count = 1
    fillers: FillerCounts = (2, 24, 56)
    long_families: Count = 4
    chat: Switch = True
    base: Switch = True
    programmable: Adapter = None
    reader: Adapter = None
    control: Adapter = None
    doses: Annotated[tuple[GivenAdapter, ...], Field(max_length=64)] = ()
    links: CountOrNone = 0
    drift_edits: Count = 28
    drift_families: Count = 4
    head_pairs: Count = 1
    read_heads: Count = 12
    strengths: Shares = (0.25, 0.5, 0.75)
    hop_families: Count = 4
    probe_families: Annotated[int, Field(strict=True, ge=2, le=10_000)] = 12
    probe_layers: Count = 6
    probe_folds: Annotated[int, Field(strict=True, ge=2, le=100)] = 5
    probe_shuffles: Count = 3
    path_families: Count = 6
    random_draws: Count = 1
    cost_edits: Count = 20
    cost_families: Count = 4
    join_chunks: Sizes = (1, 2, 4, 8)
    join_families: Count = 4
    chats: CountOrNone = 16
    preregistration: Annotated[DataFile, BeforeValidator(_criteria)] = Field(default=None)  # pyright: ignore[reportAssignmentType]
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @field_validator("discovery", "held_out")
    @classmethod
    def _of_its_split(cls, names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        return of_split(names, info, 1 if info.field_name == "discovery" else 2)

    @model_validator(mode="after")
    def _either_place(self) -> Self:
        here = self.scenarios is None or self.scenarios.is_here
        if here and not self.laid_out.swaps:
            raise PkvError(
                f"the layout '{self.laid_out.name}' has one order, and here the field stands in either place",
                "choose a layout in which field and rule may change places",
            )
        return self

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.preregistration.is_here:
            parse(self.preregistration.path.read_text("utf-8"), self.preregistration.name)
        return self

    @model_validator(mode="after")
    def _doses_differ(self) -> Self:
        names = [dose.name for dose in self.doses]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise PkvError(
                f"'doses' names two adapters '{twice}'", "give each a folder of another name, once"
            )
        return self

    def used_families(self) -> list[str]:
        """See the base class."""
        return [*self.split("discovery", self.discovery), *self.split("held_out", self.held_out)]

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        none_named = self.discovery is None and self.held_out is None
        return families_left_out(self) if none_named else ()

    @property
    def given(self) -> Mapping[str, Adapter]:
        """Adapters by role, None where there is none."""
        return {role: getattr(self, role) for role in ADAPTERS}

    @property
    def mixing(self) -> tuple[float, ...]:
        """Strengths of the notes in a conflict, with both ends."""
        return tuple(sorted({0.0, *self.strengths, 1.0}))

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families that are scored."""
        return tuple(self.split("held_out", self.held_out, 2))
