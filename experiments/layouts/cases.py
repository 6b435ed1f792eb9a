"""Pairs by layout, and which layouts a tokenizer can be asked in."""

from typing import Any

from experiments.layouts.settings import LayoutsSettings
from pkv_interp.errors import PkvError
from pkv_interp.tasks import Style
from pkv_interp.tasks.layout_cases import LayoutCase, layout_cases


def build_cases(settings: LayoutsSettings, tokenizer: Any) -> tuple[list[LayoutCase], tuple[str, ...]]:
    """Pairs in every layout that is asked for, and the layouts that are left out.

    Raises:
        PkvError: a layout is asked for by name that the tokenizer has no chat template for, or no pair can be
            made at all.
    """
    asked, left_out = _asked(settings, tokenizer)
    cases = layout_cases(
        tokenizer,
        asked,
        families=settings.families,
        instances=settings.instances,
        kinds=settings.kinds,
        seed=settings.seed,
        style=Style(n_fillers=settings.n_fillers, thinking=settings.model.thinking),
        scenarios=settings.world,
    )
    if all(one.case is None for one in cases):
        problem = cases[0].problem if cases else "every layout needs a chat template"
        raise PkvError(
            f"no pair can be made under this tokenizer: {problem}", "name other families or layouts"
        )
    return cases, left_out


def _asked(settings: LayoutsSettings, tokenizer: Any) -> tuple[list[str], tuple[str, ...]]:
    """Layouts to be run, and those left out: code in a chat is no chat without a template.

    Prose is laid out as plain text there, as every experiment has it.
    """
    names = settings.known_layouts if settings.layouts is None else settings.layouts
    if tokenizer.chat_template:
        return list(names), ()
    layouts = {name: settings.world.layout(Style(layout=name)) for name in names}
    chats = tuple(name for name, layout in layouts.items() if layout.is_code and layout.chat)
    if chats and settings.layouts is not None:
        raise PkvError(
            f"the layout '{chats[0]}' is a chat, and {settings.model.name} has no chat template",
            f"leave out {', '.join(chats)}",
        )
    return [name for name in names if name not in chats], chats
