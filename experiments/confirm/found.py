"""What the confirmatory run finds, as its summary reads it."""

from dataclasses import dataclass

from experiments.confirm.edits import EditScores
from experiments.confirm.episodes import EpisodeScores
from experiments.confirm.pairs import Decided, PairScores, ReadHeads
from experiments.confirm.probing import Probes
from experiments.confirm.quads import Labels, QuadScores
from experiments.confirm.splices import SpliceScores


@dataclass(frozen=True)
class Chosen:
    """What discovery families chose.

    Attributes:
        heads: the read heads.
        labels: of positions.
        attention: of the decision, by label.
    """

    heads: ReadHeads
    labels: Labels
    attention: dict[str, float]


@dataclass(frozen=True)
class Scores:
    """What was measured on the families to be confirmed.

    Attributes:
        field, polarity: pairs.
        quads: with scrubbing and the lens.
        probes: None where no label stands at one position of every prompt.
        edits: of the field that decides.
        moved_late, moved: policies spliced in before the field, and after it.
        episodes: of agents.
    """

    field: list[PairScores]
    polarity: list[PairScores]
    quads: list[QuadScores]
    probes: Probes | None
    edits: list[EditScores]
    moved_late: list[SpliceScores]
    moved: list[SpliceScores]
    episodes: list[EpisodeScores]


@dataclass(frozen=True)
class Measured:
    """All that a summary reads.

    Attributes:
        preregistration: the text of the file.
        files: SHA-256 of it and of the scenarios; commit that the first is from, None outside of a checkout.
        model: its name.
        decided: unpatched decisions by kind of pair (``field``, ``polarity``), by which competence is told.
        chosen, scores: None where the model does not follow the rules, so that nothing more was measured.
    """

    preregistration: str
    files: dict[str, str | None]
    model: str
    decided: dict[str, list[Decided]]
    chosen: Chosen | None
    scores: Scores | None
