"""What is done to one edit: every method on recomputed and composed caches, and cuts into chunks."""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.keystone.contexts import Cut, Versions, composed
from experiments.keystone.settings import EDITED, KeystoneSettings, prefills_anew
from pkv_interp.editing import State
from pkv_interp.engine import Engine
from pkv_interp.measure.decision import kl_divergence
from pkv_interp.measure.edit_decisions import edited
from pkv_interp.measure.edit_ranking import aligned, most_attended
from pkv_interp.measure.edit_scenes import EditScene, SceneSource
from pkv_interp.measure.opened import BesideTrace


@dataclass(frozen=True)
class MethodResult:
    """Margin towards the new value's action after an edit, in logits, and the tokens that it ran."""

    margin: float
    tokens: int


@dataclass(frozen=True)
class CacheEdits:
    """One kind of cache; margins towards the new value's action, in logits.

    Attributes:
        old: with the old value, before any edit.
        new: made from the text with the new value.
        methods: by name.
    """

    old: float
    new: float
    methods: dict[str, MethodResult]


@dataclass(frozen=True)
class SceneEdits:
    """Every method on one edit.

    Attributes:
        family, split, instance, wording: of the edit.
        matches: the new value is the rule's trigger.
        aligned: the context's tokens are those of the pair that names its positions.
        top_token_right: the likeliest token of the full prefill is the right action, of old and new value.
        recomputed: on the full prefill.
        composed: on the transplanted chunk; methods that prefill a text anew are left out.
        trace_difference: largest difference of any decision's logits from those of its trace. A control
            judges it when it is measured; measurements of before have none.
    """

    family: str
    split: str
    instance: str
    wording: str
    matches: bool
    aligned: bool
    top_token_right: tuple[bool, bool]
    recomputed: CacheEdits
    composed: CacheEdits
    trace_difference: float = 0.0


@dataclass(frozen=True)
class CutDecision:
    """Margin towards the new value's action, in logits, and KL from the full prefill, in nats."""

    margin: float
    kl: float


@dataclass(frozen=True)
class CutSide:
    """One value of the field: margin of the full prefill, and the decision by cut."""

    full: float
    cuts: dict[str, CutDecision]


@dataclass(frozen=True)
class SceneCuts:
    """The blocks of one prompt cut into chunks in different ways, with either value of the field.

    Attributes:
        family: of the prompt.
        old, new: by value.
        trace_difference: largest difference of any decision's logits from those of its trace. A control
            judges it when it is measured; measurements of before have none.
    """

    family: str
    old: CutSide
    new: CutSide
    trace_difference: float = 0.0


def edit_both(
    engine: Engine,
    scene: EditScene,
    source: SceneSource,
    attention: Mapping[str, float],
    settings: KeystoneSettings,
) -> SceneEdits:
    """Both ends and every method, on either cache.

    The ends of the composed scale are composed as well: the same chunk with the old and with the new value.
    Methods with an amount take the positions that the decision attended to most on other instances.

    Args:
        engine: of the model.
        scene: the edit.
        source: that the scene came from.
        attention: by anchor, on ranking instances of the family.
        settings: methods and wording of errata.
    """
    loaded, beside = engine.loaded, BesideTrace(engine)
    versions, task = Versions.of(loaded, scene), scene.task
    case = source.matching_case(scene)
    ranking = most_attended(versions.old, scene, case, attention)

    def on(base: State, end: State, methods: list[str]) -> CacheEdits:
        found: dict[str, MethodResult] = {}
        for method in methods:
            state = edited(base, scene, method, settings.erratum, ranking)
            found[method] = MethodResult(margin(state), state.cost.tokens)
        return CacheEdits(margin(base), margin(end), found)

    def margin(state: State) -> float:
        return beside.decide(state, scene.actions).margin

    old, new = versions.old.decide(scene.actions), versions.new.decide(scene.actions)
    composing = [method for method in settings.methods if not prefills_anew(method)]
    recomputed = on(versions.old, versions.new, list(settings.methods))
    moved = on(composed(loaded, versions.old, EDITED), composed(loaded, versions.new, EDITED), composing)
    return SceneEdits(
        family=task.family,
        split=task.split,
        instance=task.instance,
        wording=task.wording,
        matches=task.matches,
        aligned=aligned(versions.old, scene, case),
        top_token_right=(
            old.likeliest_option == task.old_action,
            new.likeliest_option == task.new_action,
        ),
        recomputed=recomputed,
        composed=moved,
        trace_difference=beside.worst,
    )


def cut_up(engine: Engine, scene: EditScene, chosen: Mapping[str, Cut]) -> SceneCuts:
    """The decision on both values when the blocks are cut into chunks in different ways, and its KL.

    Args:
        engine: of the model.
        scene: whose blocks are cut.
        chosen: the cuts by name.
    """
    versions, beside = Versions.of(engine.loaded, scene), BesideTrace(engine)

    def side(state: State) -> CutSide:
        full = beside.decide(state, scene.actions)
        cuts = {}
        for name, blocks in chosen.items():
            made = beside.decide(composed(engine.loaded, state, blocks), scene.actions)
            cuts[name] = CutDecision(made.margin, float(kl_divergence(made.logits, full.logits)))
        return CutSide(full.margin, cuts)

    old, new = side(versions.old), side(versions.new)
    return SceneCuts(scene.family, old, new, beside.worst)
