"""What the keystone experiment does to one edit: every method, on the recomputed and the composed cache."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments._composing_measures import first_keys_apart
from experiments._editing_cases import Chunk, Item, matching_case
from experiments._editing_frontier import clamped, options_of
from experiments._editing_sweep import aligned, attended
from experiments._keystone_cases import CUTS, EDITED, Versions, at_own_position, composed
from pkv_interp.editing import State
from pkv_interp.measure.decision import kl_divergence
from pkv_interp.models.load import LoadedModel

if TYPE_CHECKING:
    from experiments.keystone import KeystoneSettings


def edits(
    loaded: LoadedModel,
    item: Item,
    settings: "KeystoneSettings",
    learned: Mapping[str, Mapping[str, float]],
) -> Chunk:
    """Margins towards the new value's action: both ends, and every method, on either cache.

    The ends of the composed scale are composed as well: the same chunk with the old and with the new value.
    Methods with an amount take the positions that the decision attended to most on other instances.
    """
    versions, task = Versions.of(loaded, item), item.task
    case = matching_case(settings, item, loaded.tokenizer)
    ranking = attended(versions.old, item, case, learned)
    found: Chunk = {"tokens": len(versions.old.ids), "aligned": aligned(versions.old, item, case)}
    for cache, base, oracle in (
        ("recomputed", versions.old, versions.new),
        ("composed", composed(loaded, versions.old, EDITED), composed(loaded, versions.new, EDITED)),
    ):
        methods: dict[str, dict[str, Any]] = {}
        for method in settings.methods:
            options = options_of(method, item, settings, ranking)
            state = base.edit(task.field, task.new, clamped(method, len(ranking)), **options)
            methods[method] = {"margin": margin(state, item), "tokens": state.cost.tokens}
        found[cache] = {"old": margin(base, item), "new": margin(oracle, item), "methods": methods}
    old, new = versions.old.decide(item.actions), versions.new.decide(item.actions)
    found["top_token_right"] = [
        old.top[0][0].strip() == task.old_action,
        new.top[0][0].strip() == task.new_action,
    ]
    return found


def cuts(loaded: LoadedModel, item: Item) -> Chunk:
    """The decision on both values when the blocks are cut into chunks in different ways, and its KL."""
    versions = Versions.of(loaded, item)
    found: Chunk = {}
    for name, state in (("old", versions.old), ("new", versions.new)):
        full = state.decide(item.actions)
        lines: dict[str, Any] = {"full": {"margin": full.margin, "kl": 0.0}}
        for cut, blocks in CUTS.items():
            made = composed(loaded, state, blocks).decide(item.actions)
            lines[cut] = {"margin": made.margin, "kl": float(kl_divergence(made.logits, full.logits))}
        found[name] = lines
    return found


def check(loaded: LoadedModel, item: Item) -> dict[str, float]:
    """Errors of what is known: a splice at its own position, a prefill in two parts (logits), turned keys."""
    versions = Versions.of(loaded, item)
    errors: dict[str, list[float]] = {"own_position": [], "noise": [], "turned": []}
    for state in (versions.old, versions.new):
        want = state.logits()
        for blocks in (EDITED, *CUTS.values()):
            got = at_own_position(loaded, state, blocks).logits()
            errors["own_position"].append(float((got - want).abs().max()))
            made = composed(loaded, state, blocks)
            errors["turned"].append(first_keys_apart(made.cache, state.cache))
        whole = (*state.ids, *state.context.renderer.behind(state.suffix()))
        once = state.context.runner.prefill(whole).logits
        errors["noise"].append(float((once - want).abs().max()))
    return {name: max(values) for name, values in errors.items()}


def margin(state: State, item: Item) -> float:
    """Margin towards the new value's action, in logits."""
    return state.decide(item.actions).margin
