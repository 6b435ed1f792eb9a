"""Prompts of a wanted length for whatever model is at hand."""

from dataclasses import dataclass

from experiments.bench.cases import fillers_within
from pkv_interp.editing import EditableContext, State
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import FAMILIES, Case, Style, polarity_case
from pkv_interp.tasks.edits import EditTask, edit_task


@dataclass(frozen=True)
class EditableState:
    """A prefilled prompt whose field is edited and then asked about."""

    state: State
    task: EditTask

    @classmethod
    def of(cls, loaded: LoadedModel, length: int, seed: int) -> "EditableState":
        """The prompt of at most ``length`` tokens."""

        def task_of(n_fillers: int) -> EditTask:
            style = Style(n_fillers=n_fillers)
            return edit_task(FAMILIES[0], 0, loaded.tokenizer, seed=seed, matches=True, style=style)

        def context_of(task: EditTask) -> EditableContext:
            return EditableContext(loaded.model, loaded.tokenizer, task.messages, task.question)

        task = task_of(fillers_within(length, lambda n: context_of(task_of(n)).n_tokens))
        return cls(context_of(task).prefill(), task)

    def edit(self, method: str) -> None:
        """Change the field's value and read the decision."""
        self.state.edit(self.task.field, self.task.new, method).decide(self.task.actions)


def case_within(loaded: LoadedModel, length: int, index: int, seed: int) -> Case:
    """A polarity pair of at most ``length`` tokens.

    Args:
        loaded: for its tokenizer.
        length: tokens.
        index: of the instance.
        seed: of the prompts.

    Raises:
        PkvError: the pair is longer even without filler sentences.
    """

    def case_of(n_fillers: int) -> Case:
        style = Style(n_fillers=n_fillers)
        return polarity_case(FAMILIES[0], index, loaded.tokenizer, seed=seed, style=style)

    return case_of(fillers_within(length, lambda n: len(case_of(n).clean)))
