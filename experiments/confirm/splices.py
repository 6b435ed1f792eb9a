"""Policies prefilled alone and spliced in, as in the experiment on composing."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from experiments.confirm.about import About
from experiments.confirm.items import Laid
from experiments.confirm.making import MOVED
from experiments.confirm.pairs import about
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing import precompile, splice
from pkv_interp.measure.competence import Decision
from pkv_interp.measure.decision import token_margin
from pkv_interp.measure.splices import first_keys_apart, spliced_in_context
from pkv_interp.prompts.blocks import block_span


@dataclass(frozen=True)
class SpliceScores:
    """Both prompts of a pair, whole and with the policy spliced in; margins in logits.

    Attributes:
        decisions: of the full prefill.
        full, spliced: by side, the clean prompt first.
    """

    about: About
    decisions: list[Decision]
    full: tuple[float, float]
    spliced: tuple[float, float]


@dataclass(frozen=True)
class SpliceChecks:
    """Errors of what is known, the largest over prompts.

    Attributes:
        own_position: of a splice at its own position and after its own context, in logits.
        noise: of a prefill in two parts, in logits.
        turned: of the first layer's keys of chunks made elsewhere, as a share of the largest.
    """

    own_position: float
    noise: float
    turned: float


@dataclass(frozen=True, eq=False)
class _Whole:
    """A prompt, prefilled, and the span of its policy."""

    ids: tuple[int, ...]
    span: tuple[int, int]
    logits: Float[Tensor, " vocab"]
    cache: FrozenCache

    @property
    def prefix(self) -> FrozenCache:
        """Columns before the policy."""
        return self.cache.slice(0, self.span[0])


def _sides(runner: Runner, one: Laid) -> list[_Whole]:
    found = []
    for prompt in (one.case.clean, one.case.corrupt):
        done = runner.prefill(prompt.ids)
        found.append(_Whole(prompt.ids, block_span(prompt, MOVED), done.logits, done.cache))
    return found


def _spliced(runner: Runner, tokenizer: PreTrainedTokenizerBase, side: _Whole) -> FrozenCache:
    start, stop = side.span
    return splice(runner, side.prefix, precompile(runner, tokenizer, side.ids[start:stop]))


def move_policy(runner: Runner, tokenizer: PreTrainedTokenizerBase, one: Laid) -> SpliceScores:
    """Both prompts of a pair, each with its policy made alone and spliced in where it stands.

    Args:
        runner: of the model.
        tokenizer: of the model.
        one: a field pair.
    """
    case = one.case
    full, spliced, decided = [], [], []
    for at, side in enumerate(_sides(runner, one)):
        full.append(float(token_margin(side.logits, case.action_ids)))
        logits = runner.extend(_spliced(runner, tokenizer, side), side.ids[side.span[1] :]).logits
        spliced.append(float(token_margin(logits, case.action_ids)))
        towards = full[at] if at == 0 else -full[at]
        top = int(side.logits.argmax()) == case.action_ids[at]
        decided.append(Decision(case.family, case.instance, at == 0, towards, towards > 0, top))
    return SpliceScores(about(one), decided, (full[0], full[1]), (spliced[0], spliced[1]))


def check_moves(runner: Runner, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Laid]) -> SpliceChecks:
    """The largest errors over both prompts of a few pairs.

    Args:
        runner: of the model.
        tokenizer: of the model.
        pairs: of both places of the field.
    """
    own, noise, turned = [0.0], [0.0], [0.0]
    for side in (side for one in pairs for side in _sides(runner, one)):
        stop = side.span[1]
        before = side.cache.slice(0, stop)
        extended = runner.extend(before, side.ids[stop:]).logits
        back = spliced_in_context(runner, tokenizer, side.prefix, side.ids, [side.span])
        own.append(float((runner.extend(back, side.ids[stop:]).logits - extended).abs().max()))
        noise.append(float((extended - side.logits).abs().max()))
        turned.append(first_keys_apart(_spliced(runner, tokenizer, side), before))
    return SpliceChecks(max(own), max(noise), max(turned))
