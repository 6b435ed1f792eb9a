"""The frontier: what each editing method decides, and what it costs; and whether asking first pays."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from experiments._editing_cases import Chunk, Item, matching_case, open_context, scored
from experiments._editing_sweep import aligned, attended
from pkv_interp.editing import Decision, EditableContext, State
from pkv_interp.editing.registry import METHODS
from pkv_interp.models.load import LoadedModel

if TYPE_CHECKING:
    from experiments.editing import EditingSettings
    from experiments.keystone import KeystoneSettings


#: Ends of the scale, measured whether or not they were asked for.
ENDS = ("stale", "full_reprefill")


def options_of(
    method: str, item: Item, settings: "EditingSettings | KeystoneSettings", ranking: Sequence[int]
) -> dict[str, object]:
    """The settings that a method takes out of those that the experiment has.

    Args:
        ranking: positions behind the field, those first that a method with an amount shall take.
    """
    takes = METHODS[method.partition("@")[0]].options
    has = {"wording": settings.erratum, "options": item.actions, "ranking": ranking}
    return {name: value for name, value in has.items() if name in takes}


def clamped(method: str, most: int) -> str:
    """The method with no more tokens than stand behind the field."""
    name, _, amount = method.partition("@")
    few = METHODS[name].amount != "count" or not amount.isdigit() or int(amount) <= most
    return method if few else f"{name}@{most}"


def frontier(
    loaded: LoadedModel,
    item: Item,
    settings: "EditingSettings",
    learned: Mapping[str, Mapping[str, float]],
) -> Chunk:
    """Every method on one edit of the field that decides, each on the same base.

    The stale and the fully re-prefilled context are always measured, as the ends of the scale. Methods with
    an amount take the positions that the decision attended to most on other instances.
    """
    context, task = open_context(loaded, item), item.task
    base = context.prefill()
    case = matching_case(settings, item, loaded.tokenizer)
    ranking = attended(base, item, case, learned)
    states = {
        method: base.edit(
            task.field,
            task.new,
            clamped(method, len(ranking)),
            **options_of(method, item, settings, ranking),
        )
        for method in dict.fromkeys((*ENDS, *settings.methods))
    }
    decided = {method: _timed(state, item) for method, state in states.items()}
    stale, full = (decided[end][0] for end in ENDS)
    found: Chunk = {"stale": scored(stale, item.actions, full), "full": scored(full, item.actions)}
    found["aligned"] = aligned(base, item, case)
    found["tokens"] = len(base.ids)
    found["distance"] = len(base.ids) - base.spans[task.field][1]
    found["methods"] = {}
    for method in settings.methods:
        cost, (decision, asked) = states[method].cost, decided[method]
        found["methods"][method] = {
            **scored(decision, item.actions, full),
            "tokens": cost.tokens,
            "share": cost.share,
            "edit_ms": cost.milliseconds,
            "latency_ms": cost.milliseconds + asked,
            "prompt_surgery": cost.prompt_surgery,
            "setup_tokens": cost.setup_tokens,
        }
    return found


def _timed(state: State, item: Item) -> tuple[Decision, float]:
    """The decision, and the milliseconds that it took."""
    begin = perf_counter()
    decision = state.decide(item.actions)
    return decision, (perf_counter() - begin) * 1e3


def ask(context: EditableContext, field: str, value: str, actions: Sequence[str], wording: str) -> Chunk:
    """The diagnostic on one edit, and the truth: does field-only decide as the full re-prefill does?

    Args:
        actions: the action that the text with the new value calls for, then the other one.
    """
    told = context.edit(field, value, "auto", options=actions, wording=wording).diagnostic
    assert told is not None
    only = context.edit(field, value, "field_only").decide(actions)
    full = context.edit(field, value, "full_reprefill").decide(actions)
    return {
        "said": not told.enough,
        "needed": only.choice != full.choice,
        "field_only": scored(only, actions, full),
        "full": scored(full, actions),
        "tokens": told.cost.tokens,
        "milliseconds": told.cost.milliseconds,
        "context": len(context.prefill().ids),
    }


def kinds_of_edit(loaded: LoadedModel, item: Item, looked_up: Item, wording: str) -> Chunk:
    """One edit of the field that decides, one that nothing depends on, and one that is only read back."""
    context, task = open_context(loaded, item), item.task
    bystander, (_, other) = next(iter(task.bystanders.items()))
    copied = looked_up.task
    return {
        "gating": ask(context, task.field, task.new, item.actions, wording),
        "bystander": ask(context, bystander, other, item.actions[::-1], wording),
        "value": ask(open_context(loaded, looked_up), copied.field, copied.new, looked_up.actions, wording),
    }
