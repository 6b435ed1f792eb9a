"""The prompt's own words, in reading order: coloured by an effect, or by what they are part of."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dash import html

#: What an element of the page can hold.
Children = list[Any]
#: Characters of a word as screen readers are told it.
_TOLD = 40
#: Percent of the strongest colour in a mixture with the page's ground: text stays legible on it.
_DEEPEST = 72.0


def wild(values: Mapping[str, str]) -> dict[str, Any]:
    """Attributes of an element whose names are no words of Python: ``aria-label``, ``data-pos``."""
    return dict(values)


def shown(token: str) -> str:
    """A token as it is drawn: line breaks and tabs visible."""
    return token.replace("\n", "↵").replace("\t", "→").replace("\r", "") or "∅"


def told(token: str) -> str:
    """A token as a screen reader is to say it."""
    word = token.strip()[:_TOLD]
    if word:
        return word
    return "line break" if "\n" in token else "blank"


def words(
    tokens: Sequence[str],
    kinds: Sequence[str],
    *,
    effects: Mapping[int, float] | None = None,
    inside: Collection[int] = (),
    framed: Collection[int] = (),
    pick: bool = False,
) -> Children:
    """The tokens as pieces of text, or as buttons that can be chosen.

    Args:
        tokens: pieces of the prompt's text.
        kinds: of each.
        effects: recovery by position, -1 to 1 and beyond: the strength of the colour. None colours by kind,
            or those that are ``inside``.
        inside: positions of a chunk, which are coloured alike.
        framed: positions that differ between the two prompts.
        pick: those with an effect can be chosen; without effects all can.
    """
    found: Children = []
    largest = max([abs(value) for value in (effects or {}).values() if value == value], default=0.0)
    first = True
    for position, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        value = (effects or {}).get(position)
        classes = ["word", f"kind-{kind}"] if effects is None and not inside else ["word"]
        style: dict[str, str] = {}
        label = f"{told(token)}, word {position}"
        hint = f"word {position}, {kind}"
        if value is not None and value == value:
            classes.append("up" if value >= 0 else "down")
            style["--strength"] = f"{_strength(value, largest):.0f}%"
            hint += f", recovery {value:+.3f}"
            label += f", recovery {value:+.2f}"
        elif position in inside:
            classes.append("up")
            style["--strength"] = f"{_DEEPEST:.0f}%"
            hint += ", in the chunk"
            label += ", in the chunk"
        elif effects is not None or inside:
            classes.append("still")
        if position in framed:
            classes.append("framed")
            hint += ", differs between the prompts"
            label += ", differs between the prompts"
        common: dict[str, Any] = {"className": " ".join(classes), "title": hint, "style": style}
        if pick and (effects is None or value is not None):
            aria: dict[str, Any] = {"data-pos": str(position), "aria-pressed": "false", "aria-label": label}
            found.append(
                html.Button(shown(token), type="button", tabIndex=0 if first else -1, **common, **aria)
            )
            first = False
        else:
            found.append(html.Span(shown(token), **common))
        if "\n" in token:
            found.append(html.Br())
    return found


def _strength(value: float, largest: float) -> float:
    """Percent of colour in a mixture with the page's ground."""
    return 0.0 if largest < 1e-9 else min(1.0, abs(value) / largest) * _DEEPEST


def kind_legend(kinds: Sequence[str]) -> Children:
    """The kinds of a prompt's tokens, each with its colour."""
    return [html.Span(kind, className=f"word kind-{kind}") for kind in dict.fromkeys(kinds)]
