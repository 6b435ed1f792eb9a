"""Controls of the experiment on tau2-bench, which follow from what was measured."""

from experiments.tau2.episodes import UNCHANGED, EpisodeRun
from experiments.tau2.measure import Measured
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.turns import VisitRun
from pkv_interp.agent.arms import FULL
from pkv_interp.agent.tau2.keeping import ARMS, FIELD_LAST
from pkv_interp.records.run import control
from pkv_interp.records.schema import Control
from pkv_interp.run.scoring import Scoring

#: In float32 arms of the same text may differ by this much, in logits.
SAME_TEXT = 1e-4
#: Arms whose prompt is the full one's as long as nothing has changed, and whose cache is as computed.
_ALIKE = tuple(arm.name for arm in ARMS if not arm.composed and arm not in (FULL, FIELD_LAST))


def controls(found: Measured, scoring: Scoring[Tau2Settings]) -> list[Control]:
    """Arms that are one must agree in logits; the environment must take right actions and no stale ones."""
    ours = scoring.settings.url is None
    exact = ours and scoring.head.model["dtype"] == "float32"
    allowed = SAME_TEXT if exact else scoring.tolerance.logits
    episodes = found.episodes.all()
    runs = [run for one in episodes for run in one.courses.values()]
    checks = [run.checks for run in (*found.decisions.all(), *found.loops.all(), *runs)]
    cached = [far for one in checks if (far := one.prefix_cache_equals_full) is not None]
    placed = [far for one in checks if (far := one.splice_in_place) is not None]
    stale, right = min(one.stale_fails for one in checks), min(one.right_succeeds for one in checks)
    what = "lowest share of right actions accepted, that change what they are to"
    lines = [
        control("stale_fails", stale, 1.0, 0.0, "lowest share of actions right before the change that fail"),
        control("right_succeeds", right, 1.0, 0.0, what),
    ]
    if cached:
        what = "largest difference in logits, same history"
        lines.insert(0, control("prefix_cache_equals_full", max(cached), 0.0, allowed, what))
    if placed:
        what = "largest difference in logits, a policy computed after its own prefix, put back there"
        lines.append(control("splice_in_place", max(placed), 0.0, allowed, what))
    return [*lines, *(_of_episodes(episodes, allowed) if episodes else ())]


def _of_episodes(episodes: list[EpisodeRun], allowed: float) -> list[Control]:
    """The environment tells the states that prompts tell; where nothing happens, edits do nothing."""
    told = min(one.told for one in episodes)
    apart = max(_apart(one.courses[UNCHANGED]) for one in episodes)
    what = "lowest share of states that the environment's reading tool tells as prompts do"
    return [
        control("tools_tell_states", told, 1.0, 0.0, what),
        # A margin is the difference of two logits.
        control("unchanged_alike", apart, 0.0, 2 * allowed, "largest difference in margin, nothing changed"),
    ]


def _apart(run: VisitRun) -> float:
    """Largest difference of a margin from the full prefill's, over arms that have its text."""
    full = run.arms[FULL.name].margin
    return max(float(abs(run.arms[name].margin - full).max()) for name in _ALIKE if name in run.arms)
