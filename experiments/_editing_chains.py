"""Chains of thought over an edited cache, and a state that changes every turn for a long time."""

from typing import TYPE_CHECKING, Any

from experiments._editing_cases import Chunk, Item, open_context, scored
from pkv_interp.models.load import LoadedModel

if TYPE_CHECKING:
    from experiments.editing import EditingSettings

#: Close the chain and open the answer, after a reason in plain text and after a thinking block.
SCAFFOLD, THINK_SCAFFOLD = "\nAction:", "\n</think>\n\nAction:"
#: What each turn of the long horizon says beside its change.
TURN = "Turn {n}: record checked.\n"


def chain(loaded: LoadedModel, item: Item, settings: "EditingSettings") -> Chunk:
    """Decide without a chain, then write one greedily and decide behind it, from three cache states.

    The chain's tokens are what the recomputation costs when it is moved into the chain.
    """
    task = item.task
    context = open_context(loaded, item)
    asked = task.question.replace("Answer", "Give your reason in a sentence, then answer", 1)
    # A thinking block may begin with a line break; it ends where it is closed.
    scaffold, ends = (THINK_SCAFFOLD, "</think>") if item.style.thinking else (SCAFFOLD, "\n")
    found: Chunk = {}
    for method in ("stale", "field_only", "full_reprefill"):
        state = context.edit(task.field, task.new, method)
        plain = state.decide(item.actions, cue="Action:")
        written = state.generate(settings.cot_tokens, question=asked, cue=item.style.cue, stop=ends)
        after = state.decide(item.actions, question=asked, cue=f"{item.style.cue}{written.text}{scaffold}")
        found[method] = {
            "plain": scored(plain, item.actions),
            "chain": scored(after, item.actions),
            "tokens": len(written.ids),
            "truncated": not written.stopped,
            "text": written.text,
        }
    return found


def horizon(loaded: LoadedModel, item: Item, settings: "EditingSettings") -> list[dict[str, Any]]:
    """The field changes every turn; evolving caches against a prefill of the text with the current value.

    The reference says the current value in its place and none of the errata, so it is another text: with the
    errata in it, causality alone would make both the same. A prefill of either value is made once and grows
    by each turn's line, which by causality is the prefill of the whole text.
    """
    context, task = open_context(loaded, item), item.task
    base = context.prefill()
    evolving = {"stale": base, "erratum": base, "field_erratum": base, "field_only": base}
    values = (task.old, task.new)
    fresh = {value: base.edit(task.field, value, "full_reprefill") for value in values}
    found = []
    for turn in range(1, settings.turns + 1):
        value = task.new if turn % 2 else task.old
        actions = item.actions if turn % 2 else item.actions[::-1]
        line = TURN.format(n=turn)
        fresh = {one: state.append(line) for one, state in fresh.items()}
        full = fresh[value]
        reference = full.decide(actions)
        entry: dict[str, Any] = {"turn": turn, "full_reprefill": scored(reference, actions)}
        entry["full_reprefill"]["tokens"] = len(full.ids)
        for name, state in evolving.items():
            told = {"wording": settings.erratum} if "erratum" in name else {}
            edited = state.edit(task.field, value, name, **told)
            after = edited.append(line)
            evolving[name] = after
            entry[name] = {
                **scored(after.decide(actions), actions, reference),
                "tokens": edited.cost.tokens + after.cost.tokens,
                "length": len(after.ids),
            }
        found.append(entry)
    return found
