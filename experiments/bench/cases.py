"""Prompts of the benchmark: one case whose patches are timed, and one edit at every prompt length."""

from collections.abc import Callable
from dataclasses import dataclass

from experiments.bench.settings import BenchSettings
from pkv_interp.editing import EditableContext
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import FAMILIES, Case, Style, polarity_case
from pkv_interp.tasks.edits import EditTask, edit_task

#: Filler sentences by which the tokens of one are estimated.
_SOME = 8


@dataclass(frozen=True)
class EditPrompt:
    """A prompt whose field is edited.

    Attributes:
        limit: tokens that it has at most.
        task: its messages and the edit.
    """

    limit: int
    task: EditTask

    @property
    def instance(self) -> str:
        """Its name among the prompts."""
        return f"{self.limit} tokens"

    def context(self, loaded: LoadedModel, thinking: bool | None) -> EditableContext:
        """The prompt with nothing computed yet.

        Args:
            loaded: the model.
            thinking: the chat template's thinking switch.
        """
        task = self.task
        return EditableContext(
            loaded.model, loaded.tokenizer, task.messages, task.question, thinking=thinking
        )


def patch_case(settings: BenchSettings, loaded: LoadedModel) -> Case:
    """The case whose patches are timed."""
    style = Style(n_fillers=settings.n_fillers, thinking=settings.model.thinking)
    return polarity_case(FAMILIES[0], 0, loaded.tokenizer, seed=settings.seed, style=style)


def edit_prompts(settings: BenchSettings, loaded: LoadedModel) -> list[EditPrompt]:
    """One prompt for each of the lengths asked for.

    Raises:
        PkvError: a prompt is longer even without filler sentences.
    """
    return [edit_prompt(settings, loaded, limit) for limit in settings.edit_lengths]


def edit_prompt(settings: BenchSettings, loaded: LoadedModel, limit: int) -> EditPrompt:
    """The prompt with as many filler sentences as ``limit`` tokens leave room for, and its edit.

    Raises:
        PkvError: the prompt is longer without any.
    """
    thinking = settings.model.thinking

    def prompt_of(n_fillers: int) -> EditPrompt:
        style = Style(n_fillers=n_fillers, thinking=thinking)
        task = edit_task(FAMILIES[0], 0, loaded.tokenizer, seed=settings.seed, matches=True, style=style)
        return EditPrompt(limit, task)

    def length(n_fillers: int) -> int:
        return prompt_of(n_fillers).context(loaded, thinking).n_tokens

    return prompt_of(fillers_within(limit, length))


def fillers_within(limit: int, length: Callable[[int], int]) -> int:
    """The most filler sentences with which a prompt has at most ``limit`` tokens.

    Args:
        limit: tokens.
        length: tokens of the prompt by its filler sentences.

    Raises:
        PkvError: the prompt is longer without any.
    """
    first = length(0)
    if first > limit:
        raise PkvError(f"no prompt has as few as {limit} tokens", f"use lengths from {first} on")
    # Prompts are long and counting their tokens is slow: few are laid out.
    each = max(1.0, (length(_SOME) - first) / _SOME)
    found = int((limit - first) / each)
    while (over := length(found) - limit) > 0:
        found -= max(1, int(over / each))
    while length(found + 1) <= limit:
        found += 1
    return found
