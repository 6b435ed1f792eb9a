"""What was written down before a confirmatory run: claims, thresholds, models and sizes."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pkv_interp.errors import suggestion
from pkv_interp.run.values import Count, Draws, Fillers, Seed, Threshold, each_once

#: SHA-256 as hexadecimal digits.
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(pattern=r"\S")]
#: Names of claims become names of headlines.
ClaimName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{2,48}$")]


class _Part(BaseModel):
    """Base: unknown keys are refused, and nothing is turned into another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sizes(_Part):
    """How much is measured. None of it can be set on a command line.

    Attributes:
        ranking_pairs: polarity pairs of each packaged discovery family that rank read heads.
        ranking_quads: quads of each packaged discovery family that rank labels and train probes; two at
            least, as in the experiment on controls.
        ranking_edits: field pairs of each packaged discovery family whose attention ranks positions.
        pairs: field pairs, and polarity pairs, of each family to be confirmed.
        quads, edits, splices, episodes: of each family to be confirmed.
        fillers: neutral sentences of a prompt.
        episode_fillers, episode_preface, episode_turns: of an agent's episode.
        read_heads, labels, recomputed: how many of the ranked heads, labels and positions are used.
        random_sets: sets of random heads.
        probe_layers, probe_shuffles: of the probes.
        probe_rise: accuracy over that of shuffled labels from which a layer counts as written.
        draws: of each interval.
    """

    ranking_pairs: Count
    ranking_quads: Count
    ranking_edits: Count
    pairs: Count
    quads: Count
    edits: Count
    splices: Count
    episodes: Count
    fillers: Fillers
    episode_fillers: Fillers
    episode_preface: Fillers
    episode_turns: Annotated[int, Field(ge=4, le=6)]
    read_heads: Count
    labels: Count
    recomputed: Count
    random_sets: Count
    probe_layers: Count
    probe_shuffles: Count
    probe_rise: Annotated[float, Field(gt=0.0, lt=0.5)]
    draws: Draws


class NamedModel(_Part):
    """A model by its content.

    Attributes:
        weights: what was asked for, as a record's ``weights`` has it; known before the model loads.
        weight_sha256: of the weights in memory, the adapter merged, as a record's model has it; None only for
            random weights, which machines may draw with other last digits.
        adapter_sha256: of the adapter's weight file; None for a model without one.
    """

    weights: Sha256
    weight_sha256: Sha256 | None
    adapter_sha256: Sha256 | None


class Claim(_Part):
    """One claim.

    Attributes:
        name: of the figure that is judged.
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
    what: Text
    direction: Literal["over", "under", "between"]
    threshold: Number | None = None
    excludes: Number | None = None
    around: Number | None = None
    models: Annotated[tuple[Text, ...], Field(strict=False), AfterValidator(each_once)]
    source: Text

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


class Preregistration(_Part):
    """The whole file.

    Attributes:
        status: ``draft`` until it is committed as final; a draft is not run.
        seed: of everything random.
        competence: accuracy that both sides must reach, of all pairs and of the pairs of each part.
        least_families: fewer families with a pair right on both sides, and a claim is not judged.
        equivalence_floor: the one floor of all claims of "nothing", in recovery.
        confirm_file_sha256: of the only file of scenarios that may be used; None leaves it open.
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
