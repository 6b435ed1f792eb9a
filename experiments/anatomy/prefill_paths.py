"""Paths of the prefill: which token may not see which, and what is left of the decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from experiments.anatomy.settings import AnatomySettings
from pkv_interp.engine import Engine
from pkv_interp.interventions import Knockout, Row
from pkv_interp.measure.note_groups import Tokens, paths, tokens_of
from pkv_interp.measure.pairs import margins, run_pair
from pkv_interp.streams import stream
from pkv_interp.tasks import Case

#: Paths that are closed in every combination.
CROSSED = ("rule_field", "later_field", "later_rule", "question_rule")
#: Those that are closed alone, and together with others where the field is cut off.
FIELD = ("rule_field", "between_field", "later_field", "decision_field")
#: The field cut off from every token after it: nothing can be left of the gap.
CUT_OFF = "field cut off"
JOIN = " + "


@dataclass(frozen=True)
class Paths:
    """One case under knockouts of paths; margins in logits.

    Attributes:
        clean, corrupt: margin of each prompt by the paths that are closed, their names joined.
        only: margin of each prompt, clean then corrupt, where of the paths to the field this one is open.
        random: as for rule_field, with a random span of the field's length, before the rule and not in the
            field, in place of the field: margins by draw, clean then corrupt. Empty where there is no such
            span.
    """

    clean: dict[str, float]
    corrupt: dict[str, float]
    only: dict[str, tuple[float, float]]
    random: list[tuple[float, float]]


def combined(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of one or more of the crossed paths, and the others alone."""
    crossed = [name for name in CROSSED if name in names]
    many = [mine for size in range(1, len(crossed) + 1) for mine in combinations(crossed, size)]
    return [*many, *((name,) for name in names if name not in CROSSED)]


def measure_paths(engine: Engine, case: Case, settings: AnatomySettings) -> Paths:
    """Close paths on both prompts, alone and together.

    Args:
        engine: of the model.
        case: to score.
        settings: sizes.
    """
    pair = run_pair(engine, case, {"prefill"})
    tokens = tokens_of(pair)
    known = paths(tokens)
    rows: dict[str, Row] = {
        JOIN.join(names): tuple(known[name] for name in names) for names in combined(list(known))
    }
    to_field = [name for name in FIELD if name in known]
    rows[CUT_OFF] = tuple(known[name] for name in to_field)
    only = {name: tuple(known[other] for other in to_field if other != name) for name in to_field}
    rows |= {f"only/{name}": row for name, row in only.items() if row}
    spans = _random_spans(tokens, settings, case) if "rule_field" in known else []
    for i, span in enumerate(spans):
        rows[f"random/{i}"] = (Knockout(span, queries=tokens.reading),)
    found = {}
    for side, base in (("clean", pair.clean), ("corrupt", pair.corrupt)):
        decoded = engine.rerun(base, list(rows.values()), (), case.action_ids)
        found[side] = dict(zip(rows, margins(decoded).tolist(), strict=True))
    both = {name: (found["clean"][name], found["corrupt"][name]) for name in rows}
    plain = [name for name in rows if "/" not in name]
    return Paths(
        clean={name: both[name][0] for name in plain},
        corrupt={name: both[name][1] for name in plain},
        only={name: both[f"only/{name}"] for name, row in only.items() if row},
        random=[both[f"random/{i}"] for i in range(len(spans))],
    )


def _random_spans(tokens: Tokens, settings: AnatomySettings, case: Case) -> list[tuple[int, ...]]:
    """Spans of the field's length before the first token of the rule that reads it, clear of the field."""
    size, end = len(tokens.field), tokens.reading[0]
    taken = set(tokens.field)
    starts = [at for at in range(1, end - size + 1) if not taken & set(range(at, at + size))]
    if not starts:
        return []
    rng = stream(settings.seed, "anatomy", "random spans", case.instance)
    return [tuple(range(at, at + size)) for at in rng.choice(starts, settings.random_draws).tolist()]
