"""What was written down before a confirmatory run: claims, thresholds, models and sizes."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pkv_interp.errors import PkvError, suggestion
from pkv_interp.run.preregistered import NamedModel, Part, Sha256, Sizes, Text
from pkv_interp.run.values import Seed, Threshold, each_once

Number = Annotated[float, Field(allow_inf_nan=False)]
#: Names of claims become names of headlines.
ClaimName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{2,48}$")]


class Claim(Part):
    """One claim.

    Attributes:
        name: of the claim.
        figure: name of the figure that is judged; None: that of the claim. One figure may be claimed to be
            large for one model and nothing for another.
        what: how it is measured, in one sentence.
        direction: ``over`` or ``under`` the threshold; ``between``: no further from ``around`` than the
            file's equivalence floor, by two one-sided tests.
        threshold: that the estimate must clear; None for ``between``.
        excludes: the value that the 95 % interval must exclude, on the far side of the threshold; None for
            ``between``.
        around: middle of the region of equivalence; None for ``over`` and ``under``.
        models: names of the models that it is made for.
        source: where the threshold comes from.
    """

    name: ClaimName
    figure: ClaimName | None = None
    what: Text
    direction: Literal["over", "under", "between"]
    threshold: Number | None = None
    excludes: Number | None = None
    around: Number | None = None
    models: Annotated[tuple[Text, ...], Field(strict=False), AfterValidator(each_once)]
    source: Text

    @property
    def judged_by(self) -> str:
        """Name of the figure that it is judged by."""
        return self.figure or self.name

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.direction == "between":
            if self.around is None or self.threshold is not None or self.excludes is not None:
                raise ValueError("between has around, and neither threshold nor excludes")
            return self
        if self.threshold is None or self.excludes is None or self.around is not None:
            raise ValueError(f"{self.direction} has threshold and excludes, and no around")
        beyond = self.excludes - self.threshold
        if beyond > 0 if self.direction == "over" else beyond < 0:
            raise ValueError(f"excludes lies on the near side of the threshold for {self.direction}")
        return self


class Preregistration(Part):
    """The whole file.

    Attributes:
        status: ``draft`` until it is committed as final; a draft is not run.
        seed: of everything random.
        competence: accuracy that both sides must reach, of all pairs and of the pairs of each part,
            by a model whose pairs are not screened.
        least_families: fewer families with a pair right on both sides, and a claim is not judged.
        equivalence_floor: the one floor of all claims of "nothing", in recovery.
        confirm_file_sha256: of the only file of scenarios that may be used; None only in a draft.
        models: by name.
        claims: in the order in which they are told.
    """

    status: Literal["draft", "final"]
    seed: Seed
    competence: Threshold
    least_families: Annotated[int, Field(ge=2)]
    equivalence_floor: Annotated[float, Field(gt=0.0, lt=1.0)]
    confirm_file_sha256: Sha256 | None
    sizes: Sizes
    models: Annotated[dict[Text, NamedModel], Field(min_length=1)]
    claims: Annotated[tuple[Claim, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.status == "final" and self.confirm_file_sha256 is None:
            raise ValueError("confirm_file_sha256 is missing, and a final file names its scenarios")
        names = [claim.name for claim in self.claims]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the claim '{name}' stands {names.count(name)} times")
        for claim in self.claims:
            for model in claim.models:
                if model not in self.models:
                    raise ValueError(
                        f"the claim '{claim.name}' names the model '{model}': "
                        f"{suggestion(model, self.models)}"
                    )
        return self

    def model(self, name: str) -> NamedModel:
        """The entry of a model.

        Raises:
            PkvError: there is none.
        """
        if name not in self.models:
            raise PkvError(
                f"the preregistration does not name the model '{name}'", suggestion(name, self.models)
            )
        return self.models[name]
