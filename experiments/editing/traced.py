"""What the decision reads after each edit: every method's cache, opened as the base of a traced decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.editing.frontier import ENDS
from experiments.editing.settings import EditingSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.edit_decisions import edited
from pkv_interp.measure.edit_ranking import most_attended
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.measure.heads import Head
from pkv_interp.measure.traced_edits import TracedDecision, trace_edit


@dataclass(frozen=True)
class TracedEdit:
    """Every method on one edit, traced.

    Attributes:
        stale: margin on the cache as it was.
        full: margin after a full re-prefill.
        methods: by name.
    """

    stale: float
    full: float
    methods: dict[str, TracedDecision]


def trace_every_way(
    engine: Engine,
    scene: EditScene,
    source: SceneSource,
    attention: Mapping[str, float],
    heads: Sequence[Head],
    settings: EditingSettings,
) -> TracedEdit:
    """Trace the decision after every method, each on the same base, edited as on the frontier.

    Args:
        engine: of the model.
        scene: to edit.
        source: makes the field pair that names the scene's positions.
        attention: by anchor, learned on other instances of the family.
        heads: the read heads, learned on other instances.
        settings: methods and wording.
    """
    base = open_context(engine.loaded, scene).prefill()
    case = source.matching_case(scene)
    ranking = most_attended(base, scene, case, attention)

    def trace(method: str) -> TracedDecision:
        state = edited(base, scene, method, settings.erratum, ranking)
        return trace_edit(engine, base, state, scene.task.field, scene.actions, heads, case.clean.kinds)

    found = {method: trace(method) for method in dict.fromkeys((*ENDS, *settings.methods))}
    stale, full = (found[end].margin for end in ENDS)
    return TracedEdit(stale, full, {method: found[method] for method in settings.methods})
