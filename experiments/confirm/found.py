"""What the confirmatory run finds, as its summary reads it."""

from dataclasses import dataclass

from experiments.confirm.edits import EditScores
from experiments.confirm.episodes import EpisodeScores
from experiments.confirm.pairs import PairScores, ReadHeads
from experiments.confirm.probing import Probes
from experiments.confirm.quads import Labels, QuadScores
from experiments.confirm.screening import Tries
from experiments.confirm.splices import SpliceScores


@dataclass(frozen=True)
class Chosen:
    """What discovery families chose; None, or nothing, of what no claim about the model needs.

    Attributes:
        heads: the read heads.
        labels: of positions.
        effects: of positions patched alone, by label: they order the tokens that an edit recomputes.
    """

    heads: ReadHeads | None
    labels: Labels | None
    effects: dict[str, float]


@dataclass(frozen=True)
class Scores:
    """What was measured on the families to be confirmed; nothing of parts that no claim is about.

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
        tried: unpatched decisions on pairs to be scored, by kind (``field``, ``polarity``), by which
            competence is told; where pairs are screened, quads (``quads``) as well.
        tried_ranking: the same of discovery families; none where pairs are not screened.
        chosen, scores: None where the model does not follow the rules, so that nothing more was measured.
    """

    preregistration: str
    files: dict[str, str | None]
    model: str
    tried: dict[str, Tries]
    tried_ranking: dict[str, Tries]
    chosen: Chosen | None
    scores: Scores | None
