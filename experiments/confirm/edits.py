"""Edits of a field: recomputed tokens and the tagged erratum, as in the experiment on editing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from experiments.confirm.about import About
from experiments.confirm.items import SceneAndPair
from experiments.confirm.quads import RankedNotes, note_labels
from pkv_interp.editing import State
from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision
from pkv_interp.measure.edit_decisions import append_erratum, edited
from pkv_interp.measure.edit_ranking import notes_of
from pkv_interp.measure.edit_scenes import EditScene, open_context
from pkv_interp.measure.knockout import attention_by_position
from pkv_interp.measure.pairs import run_pair
from pkv_interp.measure.patching import order_by
from pkv_interp.measure.ranking import rank_labels
from pkv_interp.tasks import Case

WORDING = "tagged"
#: Arms: tokens recomputed by the attention of the decision, and by labels' effects; errata.
ATTENDED, RECOMPUTED = "recompute_32", "recompute_32_by_effect"
TAGGED, OTHER = "tagged_erratum", "tagged_erratum_other_field"


@dataclass(frozen=True)
class EditScores:
    """One edit of the field that decides; margins in logits.

    Attributes:
        decisions: on the prompt as it was, and after a full re-prefill.
        arms: margins towards the action that is right there: the new one, and after an erratum about another
            field the old one. Errata are scored in words alone.
        aligned: the pair names the context's positions (`SceneAndPair.names`).
        ends_apart: largest difference in logits between recomputing from the field on and a full re-prefill.
        prefill_difference: the same between the erratum after the stale cache and a prefill of that text.
        earlier_columns_kept: the erratum left every earlier column bit for bit what it was.
    """

    about: About
    decisions: list[Decision]
    arms: dict[str, float]
    aligned: bool
    ends_apart: float
    prefill_difference: float
    earlier_columns_kept: bool


def learn_effects(cases: Sequence[Case], found: Sequence[RankedNotes]) -> dict[str, float]:
    """Mean effect of patching a position alone, by label, over discovery pairs.

    The experiment on editing orders positions by what anchors had on other instances of the scored family.
    Anchors of one wording are not found in another, and no family that is scored may rank. Labels are.

    Args:
        cases: field pairs of discovery families.
        found: on them.
    """
    ranked = rank_labels(
        [note_labels(case) for case in cases],
        [one.positions - one.corrupt for one in found],
        [one.clean - one.corrupt for one in found],
    )
    return dict(ranked)


def edit_scene(
    engine: Engine, one: SceneAndPair, effects: Mapping[str, float], recomputed: int
) -> EditScores:
    """One edit by each method, all on the same base.

    Args:
        engine: of the model.
        one: the scene, and the pair whose labels name its positions.
        effects: by label, learned on discovery families.
        recomputed: tokens that are recomputed beside the field.
    """
    loaded, scene, task = engine.loaded, one.scene, one.scene.task
    base = open_context(loaded, scene).prefill()
    notes = notes_of(base, scene)
    ranking = order_by(effects, note_labels(one.case)[: len(notes)], notes)
    attended = most_attended(engine, one, notes)
    new, old = scene.actions, scene.actions[::-1]
    told = append_erratum(base, task.field, task.new, WORDING)
    full, suffix = (
        edited(base, scene, name, WORDING, ranking) for name in ("full_reprefill", "suffix_recompute")
    )
    arms = {
        arm: edited(base, scene, f"recompute@{recomputed}", WORDING, order).decide(new).margin
        for arm, order in ((ATTENDED, attended), (RECOMPUTED, ranking))
    }
    if not task.notation.is_code:
        other, (_, other_value) = next(iter(task.bystanders.items()))
        arms[TAGGED] = told.decide(new).margin
        arms[OTHER] = append_erratum(base, other, other_value, WORDING).decide(old).margin
    return EditScores(
        about=About(scene.family, scene.instance, task.wording, str(scene.style.layout)),
        decisions=[_decision(base, scene, is_new=False), _decision(full, scene, is_new=True)],
        arms=arms,
        aligned=one.names(base.ids),
        ends_apart=float((suffix.decide(new).logits - full.decide(new).logits).abs().max()),
        prefill_difference=prefill_difference(base, told),
        earlier_columns_kept=earlier_columns_kept(base, told),
    )


def most_attended(engine: Engine, one: SceneAndPair, notes: Sequence[int]) -> list[int]:
    """Notes by the attention of the decision on the prompt as it was, mean over layers and heads, most first.

    The prompt that is edited tells it before it is edited: nothing is learned on any other.
    """
    pair = run_pair(engine, one.case, {"attention"})
    old = replace(pair, clean=pair.corrupt, corrupt=pair.clean) if one.scene.task.matches else pair
    attention = attention_by_position(old)
    return sorted(notes, key=lambda at: -attention[at])


def _decision(state: State, scene: EditScene, *, is_new: bool) -> Decision:
    """What is decided on the prompt with the old or with the new value, towards the action it calls for."""
    actions = scene.actions if is_new else scene.actions[::-1]
    found = state.decide(actions)
    return Decision(
        scene.family,
        scene.instance,
        scene.task.matches == is_new,
        found.margin,
        found.margin > 0,
        found.likeliest_option == actions[0],
    )


def prefill_difference(base: State, told: State) -> float:
    """Largest difference, in logits, of an erratum after a stale cache from a prefill of the same text."""
    suffix = base.context.renderer.after(told.suffix())
    plain = base.context.runner.prefill((*told.ids, *suffix)).logits
    return float((told.logits() - plain).abs().max())


def earlier_columns_kept(base: State, told: State) -> bool:
    """Whether every earlier column is bit for bit what it was."""
    head = told.cache.slice(0, base.cache.length)
    pairs = zip((*base.cache.keys, *base.cache.values), (*head.keys, *head.values), strict=True)
    return all(bool((a == b).all()) for a, b in pairs)
