"""How many rules a last block can follow that alone may look at the field: none, one, or two in a row."""

from dataclasses import dataclass

from pkv_interp.cache import AttentionLayout
from pkv_interp.engine import Engine, Prefill
from pkv_interp.interventions import Knockout
from pkv_interp.measure.pairs import margin_of
from pkv_interp.tasks import Case
from pkv_interp.tasks.off_template import Template

#: Rules between the field's value and the action, by template.
HOPS: dict[Template, int] = {"lookup": 0, "conversational": 1, "multi_hop": 2}
#: Every token sees all before it.
PLAIN = "plain"
#: The question and what follows it may look at the field.
ISOLATED = "isolated"
#: The decision token alone may.
DECISION = "decision_alone"
#: The rules may as well, seen by the last block alone.
LINKED = "rule_linked"


@dataclass(frozen=True)
class HopMargins:
    """A field pair with so many rules; margins in logits.

    Attributes:
        margins: of the clean and of the corrupt prompt, by pattern.
        apart: largest difference in logits between the isolated prefill and the plain one with the same looks
            closed one by one, which is another route to it.
    """

    margins: dict[str, tuple[float, float]]
    apart: float


def layouts_of(case: Case) -> dict[str, AttentionLayout | None]:
    """Who sees whom, by pattern; a text without a rule has no link."""
    spans, decision = case.clean.spans, case.clean.decision
    field, asked = spans["field"], spans["question"][0]
    found: dict[str, AttentionLayout | None] = {
        PLAIN: None,
        ISOLATED: AttentionLayout(asked, isolated=(field,)),
        DECISION: AttentionLayout(decision, isolated=(field,)),
    }
    if "rule" in spans:
        found[LINKED] = AttentionLayout(asked, isolated=(field,), links=(spans["rule"],))
    return found


def hops_of(engine: Engine, case: Case) -> HopMargins:
    """Every pattern of one pair.

    Args:
        engine: of the model.
        case: a field pair of one of the templates in ``HOPS``.
    """
    found: dict[str, tuple[float, float]] = {}
    runs: dict[str, Prefill] = {}
    for name, layout in layouts_of(case).items():
        runs[name] = engine.prefill(case.clean.ids, layout=layout)
        other = engine.prefill(case.corrupt.ids, shared=runs[name], layout=layout)
        found[name] = (margin_of(runs[name], case.action_ids), margin_of(other, case.action_ids))
    return HopMargins(found, _apart(engine, case, runs))


def _apart(engine: Engine, case: Case, runs: dict[str, Prefill]) -> float:
    start, stop = case.clean.spans["field"]
    between = tuple(range(stop, case.clean.spans["question"][0]))
    closed = engine.rerun(runs[PLAIN], [(Knockout(tuple(range(start, stop)), queries=between),)])
    return float((closed.logits[0] - runs[ISOLATED].logits).abs().max())
