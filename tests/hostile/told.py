"""Two controls of what is told beside the model: caches read again, and outputs from weights and values."""

from __future__ import annotations

from pkv_interp.engine import Engine
from pkv_interp.measure.crossing import read_by
from pkv_interp.measure.margin_model import CAPTURE, outputs_over
from pkv_interp.measure.pairs import run_pair
from pkv_interp.tasks import Case


def own_cache(engine: Engine, case: Case) -> float:
    """Largest difference of logits when a model reads its own cache again, as origin's control has it."""
    found = run_pair(engine, case, ())
    again = read_by(engine, found, engine)
    return float((again.clean.logits - found.clean.logits).abs().max())


def told_outputs(engine: Engine, case: Case) -> float:
    """Largest difference of heads' outputs, as anatomy's control has it."""
    found = run_pair(engine, case, CAPTURE)
    told = outputs_over(engine.spec, found.corrupt, found.clean)
    return float((told - found.corrupt.z).abs().max() / found.corrupt.z.abs().max())
