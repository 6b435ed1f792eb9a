"""Time to the first token: a spliced chunk against a full prefill, both asked for the last logit only."""

from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from experiments.composing.settings import PREFIX
from pkv_interp.cache.compute import Runner
from pkv_interp.composing import Chunk, precompile, splice
from pkv_interp.measure.timing import seconds
from pkv_interp.streams import stream
from pkv_interp.tasks import Family
from pkv_interp.tasks.draws import draw


@dataclass(frozen=True)
class Timed:
    """Seconds to the first token of a prompt of ``length`` tokens, by arm."""

    length: int
    full: float
    composed: float


@dataclass(frozen=True)
class Round:
    """Every length once, with one family's text."""

    family: str
    lengths: list[Timed]


def text_of(family: Family, tokens: int, tokenizer: PreTrainedTokenizerBase, seed: int) -> list[int]:
    """Ids of a long policy of the family.

    Args:
        family: whose role the text begins with.
        tokens: how many.
        tokenizer: of the model.
        seed: of the sentences' order.
    """
    rng = stream(seed, "composing", "text", family.name)
    ids: list[int] = []
    while len(ids) < tokens:
        text = " ".join((family.role, *draw(family, rng, 32).fillers))
        more: Any = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += more
    return ids[:tokens]


def time_round(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    family: Family,
    lengths: tuple[int, ...],
    suffix: int,
    seed: int,
) -> Round:
    """Seconds at each length of the whole prompt: full prefill, and prefix, splice and suffix.

    The chunk lies precompiled in memory. On a CPU these are seconds of the process's own CPU time.

    Args:
        runner: of the model.
        tokenizer: of the model.
        family: whose text it is.
        lengths: in tokens; every one is more than ``PREFIX`` and ``suffix`` together.
        suffix: tokens after the chunk.
        seed: of the text.
    """
    device = runner.model.device
    text = text_of(family, max(lengths), tokenizer, seed)
    # By causality a shorter chunk is the beginning of the longest, which is prefilled once. (Not where rotary
    # frequencies follow the length; there it is as much work, and no decision is read here.)
    longest = precompile(runner, tokenizer, text[PREFIX : max(lengths) - suffix])
    found: list[Timed] = []
    for length in lengths:
        ids, within = text[:length], length - suffix - PREFIX
        chunk = replace(longest, ids=longest.ids[:within], cache=longest.cache.slice(0, within))

        def compose(ids: list[int] = ids, chunk: Chunk = chunk, length: int = length) -> None:
            prefix = runner.prefill(ids[:PREFIX]).cache
            runner.extend(splice(runner, prefix, chunk), ids[length - suffix :])

        def prefill(ids: list[int] = ids) -> None:
            runner.prefill(ids)

        arms = {"composed": compose, "full": prefill}
        if not found or device.type == "cuda":  # a first use chooses kernels, on a GPU for every shape
            compose()
            prefill()
        # Neither arm always finds the machine as the other left it.
        order = list(arms) if len(found) % 2 else list(reversed(arms))
        taken = {name: seconds(arms[name], device)[0] for name in order}
        found.append(Timed(length, taken["full"], taken["composed"]))
    return Round(family.name, found)
