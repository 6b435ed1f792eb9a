"""Wordings of an erratum: a line at the end of the context that gives a field's value as it is now."""

from string import Formatter

from pkv_interp.errors import PkvError, short

#: Every update wording that the editing experiments test.
UPDATES: dict[str, str] = {
    "bare": "{field}: {value}",
    "tagged": "[STATE] {field} = {value}",
    "override": "Erratum: the {field} given above is out of date. It is {value}.",
    "re_evaluate": "Disregard the earlier {field}; it is {value}. Work out the action again from this value.",
    "natural": "We have just learned that the {field} turned into {value}.",
    "notice": "Notice of change: {field} moved to {value}, effective immediately.",
}

#: By name, from the bare value to the order to forget; ``str.format`` strings of ``field`` and ``value``.
ERRATA: dict[str, str] = {
    "bare": UPDATES["bare"],
    "tagged": UPDATES["tagged"],
    "override": UPDATES["override"],
    "disregard": UPDATES["re_evaluate"],
}
DEFAULT = "override"
#: What stands in a field's place once its value is given at the end.
HOISTED = "see the end"


def erratum_line(field: str, value: str, wording: str = DEFAULT) -> str:
    """The line, ended by a line break.

    Args:
        field: label of the field.
        value: that the line gives.
        wording: a name in `ERRATA`, or a text of your own with ``{field}`` and ``{value}`` in it.

    Raises:
        PkvError: an unknown name, or a text that does not give the value.
    """
    template, blanks = check_wording(wording)
    line = template.format(field=field, value=value)
    # A value at the beginning stands as it was given: its case may be what the model is asked about.
    return f"{line}\n" if blanks[0][:2] == ("", "value") else f"{line[0].upper()}{line[1:]}\n"


def check_wording(wording: str) -> tuple[str, list[tuple[str, str | None]]]:
    """The template of a wording, and its pieces: the text before each blank and the blank's name.

    Raises:
        PkvError: an unknown name, or a text that does not give the value.
    """
    template = ERRATA.get(wording, wording) if isinstance(wording, str) else ""
    try:
        blanks = [(before, *rest) for before, *rest in Formatter().parse(template)]
    except ValueError as error:
        raise PkvError(
            f"the wording {short(wording)} has a brace that stands alone", "write {{ or }} for a brace"
        ) from error
    names = [name for _, name, *_ in blanks if name is not None]
    if any(spec or conversion for _, _, spec, conversion in blanks) or not {"field", "value"}.issuperset(
        names
    ):
        raise PkvError(
            f"the wording {short(wording)} has a blank other than {{field}} and {{value}}", "leave it out"
        )
    if "value" not in names:
        raise PkvError(
            f"the wording {short(wording)} is neither known nor has {{value}} in it",
            f"use {', '.join(ERRATA)} or a text with {{field}} and {{value}}",
        )
    return template, [(before, name) for before, name, *_ in blanks]
