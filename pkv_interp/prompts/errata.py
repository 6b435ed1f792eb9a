"""Wordings of an erratum: a line at the end of the context that gives a field's value as it is now."""

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
_MARK = "\N{BULLET}"


def erratum_line(field: str, value: str, wording: str = DEFAULT) -> str:
    """The line, ended by a line break.

    Args:
        field: label of the field.
        value: that the line gives.
        wording: a name in `ERRATA`, or a text of your own with ``{field}`` and ``{value}`` in it.

    Raises:
        PkvError: an unknown name, or a text that does not give the value.
    """
    template = ERRATA.get(wording, wording)
    try:
        line = template.format(field=field, value=value)
        named = template.format(field=field, value=_MARK)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise PkvError(
            f"the wording {short(wording)} has a blank other than {{field}} and {{value}}", "leave it out"
        ) from error
    if _MARK not in named:
        raise PkvError(
            f"the wording {short(wording)} is neither known nor has {{value}} in it",
            f"use {', '.join(ERRATA)} or a text with {{field}} and {{value}}",
        )
    return f"{line[0].upper()}{line[1:]}\n"
