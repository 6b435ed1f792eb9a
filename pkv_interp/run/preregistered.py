"""What a preregistration says of sizes and of models."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pkv_interp.run.values import Count, Draws, Fillers

#: SHA-256 as hexadecimal digits.
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(pattern=r"\S")]


class Part(BaseModel):
    """Base: unknown keys are refused, and nothing is turned into another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sizes(Part):
    """How much is measured. None of it can be set on a command line.

    Attributes:
        ranking_pairs: polarity pairs of each packaged discovery family that rank read heads.
        ranking_quads: quads of each packaged discovery family that rank labels and train probes; two at
            least, as in the experiment on controls.
        ranking_edits: field pairs of each packaged discovery family whose positions are ranked.
        pairs: field pairs, and polarity pairs, of each family to be confirmed.
        edits: of these field pairs.
        quads, splices, episodes: of each family to be confirmed.
        candidates: tried of each family, discovery or to be confirmed, in place of each of the numbers above,
            for a model whose pairs are screened; of those right on both sides the first ones are used.
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
    candidates: Count
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

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.edits > self.pairs:
            raise ValueError(f"edits={self.edits} are of the pairs, and there are {self.pairs} a family")
        most = max(
            self.ranking_pairs, self.ranking_quads, self.ranking_edits, self.pairs, self.quads, self.edits
        )
        if self.candidates < most:
            raise ValueError(f"candidates={self.candidates} are fewer than the {most} that are used")
        return self


class NamedModel(Part):
    """A model by its content.

    Attributes:
        weights: what was asked for, as a record's ``weights`` has it; known before the model loads.
        weight_sha256: of the weights in memory, the adapter merged, as a record's model has it; None only for
            random weights, which machines may draw with other last digits.
        adapter_sha256: of the adapter's weight file; None for a model without one.
        layout: a packaged layout whose rule is code, in which every prompt of the model is written; None: the
            layouts in words of the file of scenarios, and to rank the first packaged one.
        screen: ``both_sides``: pairs that the model decides right on both prompts are used, and no accuracy
            is asked of it but to be better than guessing; ``none``: its accuracy must reach ``competence``.
        flip: what the pairs differ in on which read heads are ranked and scored: the rule's trigger, or the
            field. A rule of code that names both values changes in more than its trigger.
    """

    weights: Sha256
    weight_sha256: Sha256 | None
    adapter_sha256: Sha256 | None
    layout: Text | None = None
    screen: Literal["none", "both_sides"] = "none"
    flip: Literal["trigger", "field"] = "trigger"

    @property
    def screened(self) -> bool:
        """Whether pairs are chosen by what is decided on them."""
        return self.screen != "none"
