"""On a scored instance: the paths from the field to the decision, closed one by one."""

from dataclasses import dataclass

from experiments.patching.settings import PatchingSettings
from pkv_interp.engine import Engine
from pkv_interp.interventions import Knockout, Row
from pkv_interp.measure.note_groups import tokens_of
from pkv_interp.measure.note_paths import closed_margins, note_paths, spans_before
from pkv_interp.measure.pairs import run_pair
from pkv_interp.streams import stream
from pkv_interp.tasks import Case

#: The field cut off from every token after it: nothing can be left of the gap.
CUT_OFF = "field cut off"


@dataclass(frozen=True)
class Paths:
    """One case with paths closed; margins in logits.

    Attributes:
        clean, corrupt: margin of each prompt by the path that is closed, ``CUT_OFF`` among them.
        random: as for notes_field, with a random span of the field's length before the field in place of it:
            margins by draw, clean then corrupt. Empty where there is no such span.
    """

    clean: dict[str, float]
    corrupt: dict[str, float]
    random: list[tuple[float, float]]


def measure_paths(engine: Engine, case: Case, settings: PatchingSettings) -> Paths:
    """Close each path on both prompts."""
    pair = run_pair(engine, case, {"prefill"})
    tokens = tokens_of(pair)
    known = note_paths(tokens)
    rows: dict[str, Row] = {name: (closed,) for name, closed in known.items()}
    rows[CUT_OFF] = tuple(known[name] for name in ("notes_field", "decision_field") if name in known)
    rng = stream(settings.seed, "patching", "random spans", case.instance)
    spans = spans_before(tokens, settings.path_draws, rng)
    random = {f"random/{i}": (Knockout(span, queries=pair.notes),) for i, span in enumerate(spans)}
    found = closed_margins(engine, pair, rows | random)
    return Paths(
        clean={name: found["clean"][name] for name in rows},
        corrupt={name: found["corrupt"][name] for name in rows},
        random=[(found["clean"][name], found["corrupt"][name]) for name in random],
    )
