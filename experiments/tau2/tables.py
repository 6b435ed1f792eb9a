"""Tables of the experiment on tau2-bench: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class ArmShare(EstimateRow):
    """Share of decisions, or of requests and visits of the loops, by arm.

    ``part`` is ``decisions`` or ``loops``. ``sample`` is ``all``, a domain, a topic (``retail/refund``), or
    ``both_right``: decisions that the full prefill gets right in both states, which are chosen after looking.
    """

    table = "shares"
    part: str
    sample: str
    arm: str
    quantity: str


@dataclass(frozen=True)
class EpisodeShare(EstimateRow):
    """Share of episodes by course and arm.

    ``course`` is ``unchanged``, ``changed`` or ``looked_up``. ``sample`` is ``all``, a domain, or
    ``both_right``: records that the full prefill gets right unchanged and changed, chosen after looking.
    ``quantity`` is ``right`` (the action decided), ``success`` (what the database says of it) or
    ``agreement`` (with the full prefill).
    """

    table = "episodes"
    course: str
    sample: str
    arm: str
    quantity: str


@dataclass(frozen=True)
class TurnShare(EstimateRow):
    """Share of a loop's requests that succeed, by turn (from 1)."""

    table = "by_turn"
    arm: str
    turn: int


@dataclass(frozen=True)
class Known(EstimateRow):
    """Competence by sample: share right over both states, or ``both`` states of one record (``quantity``)."""

    table = "known"
    sample: str
    quantity: str


@dataclass(frozen=True)
class Cost(EstimateRow):
    """Cost of full over that of an arm, in ``tokens`` or ``seconds``: after the change, or of whole loops."""

    table = "cost"
    part: str
    arm: str
    what: str


@dataclass(frozen=True)
class Sizes(TableRow):
    """What stands beside the figures of a domain."""

    table = "sizes"
    domain: str
    version: str
    database: str
    gated: int
    unaligned: int
    decisions: int
    loops: int
    episodes: int
    right_action_first_in_menu: float
    first_action_right: float
    policy_tokens: float
    prompt_tokens: float
