"""What success is, as it was written down before any adapter was measured."""

from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from pkv_interp.errors import PkvError

Text = Annotated[str, StringConstraints(pattern=r"\S")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{2,48}$")]
_HINT = "correct the file before anything is run"


class Criterion(BaseModel):
    """One criterion.

    Attributes:
        name: of the criterion.
        figure: that is judged, as `figures_of.figures_of` names it, with its size.
        role: of the adapter that it is made for.
        what: how it is measured, in one sentence.
        relation: the side of the threshold on which the figure must lie; the threshold itself is enough.
        threshold: in the unit of the figure.
        source: where it comes from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Name
    figure: Name
    role: Literal["gate", "programmable", "reader", "control"]
    what: Text
    relation: Literal["at least", "at most"]
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    source: Text

    def met(self, value: float) -> bool:
        """Whether a value lies on the right side."""
        return value >= self.threshold if self.relation == "at least" else value <= self.threshold


class Criteria(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="after")
    def _each_once(self) -> "Criteria":
        names = [one.name for one in self.criteria]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the criterion '{name}' stands {names.count(name)} times")
        return self


def parse(text: str, name: str = "the preregistration") -> Criteria:
    """The file's content, checked.

    Args:
        text: of the file.
        name: of the file, for the message.

    Raises:
        PkvError: it is no YAML, or an entry is wrong; the line names the first.
    """
    try:
        data: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PkvError(f"{name} is not YAML: {str(error)[:120]}", _HINT) from error
    try:
        return Criteria.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise PkvError(f"{name}: '{place}': {first['msg'].removeprefix('Value error, ')}", _HINT) from error
