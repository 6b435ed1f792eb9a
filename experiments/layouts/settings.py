"""Settings of the choice of a layout."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from pkv_interp.names import PairKind
from pkv_interp.run.data_file import OwnFile
from pkv_interp.run.scenario_settings import of_split, world_of
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.values import Count, Draws, Fillers, Names, Threshold, each_once
from pkv_interp.tasks import Scenarios, Style
from pkv_interp.tasks.layout_cases import SPLIT
from pkv_interp.tasks.scenarios import code_layouts

Kinds = Annotated[tuple[PairKind, ...], Field(max_length=2), AfterValidator(each_once)]


class LayoutsSettings(ExperimentSettings):
    """Settings of this experiment; configs/layouts.yaml says what each means."""

    SUMMARY_ONLY: ClassVar[frozenset[str]] = frozenset({"bootstrap_draws", "least_right"})

    scenarios: OwnFile = None
    layouts: Names | None = None
    families: Names | None = None
    instances: Count = 2
    kinds: Kinds = ("field", "polarity")
    n_fillers: Fillers = 0
    least_right: Threshold = 0.5
    bootstrap_draws: Draws = 2000

    @field_validator("layouts")
    @classmethod
    def _there_are(cls, names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        file = info.data.get("scenarios")
        # Of a file that a record names only the hash is known, and its layouts cannot be looked up.
        if names is not None and (file is None or file.is_here):
            for name in names:
                world_of(file).layout(Style(layout=name))
        return names

    @field_validator("families")
    @classmethod
    def _of_discovery(cls, names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        return of_split(names, info, 1, SPLIT)

    @property
    def world(self) -> Scenarios:
        """The scenarios, in no layout's own words yet.

        Raises:
            PkvError: the file has problems; all of them are named.
        """
        return world_of(self.scenarios)

    @property
    def known_layouts(self) -> tuple[str, ...]:
        """Names of the scenarios' layouts, then of the packaged ones for code."""
        layouts = (*self.world.layouts, *code_layouts())
        return tuple(dict.fromkeys(layout.name for layout in layouts))
