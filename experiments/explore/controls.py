"""From what stands in the page's controls to a state."""

from typing import Any

from experiments.explore.state import State, state_of


def read_state(
    source: Any,
    *,
    view: str = "prompt",
    notes: tuple[Any, Any, Any] = ("KV", None, ()),
    heads: tuple[Any, Any, Any] = ("read", "patch", ()),
    edit: tuple[Any, Any, Any, Any] = ("", "override", (), ()),
    compose: tuple[Any, Any, Any] = (None, None, 0),
) -> State:
    """The state of some values; what a view does not have is as by default.

    Args:
        source: of the prompt.
        view: that is shown.
        notes: part, layers and words.
        heads: site, mode and chosen heads, each as ``layer.head``.
        edit: value, wording, methods and chain.
        compose: span, place and repair.

    Raises:
        PkvError: something is not possible.
    """
    part, layers, words = notes
    site, mode, chosen = heads
    value, wording, methods, chain = edit
    span, to, repair = compose
    return state_of(
        {
            "view": view,
            "source": source,
            "notes": {"part": part, "layers": layers, "words": words or ()},
            "heads": {"site": site, "mode": mode, "chosen": [head_of(one) for one in chosen or ()]},
            "edit": {
                "value": value or "",
                "wording": wording or "override",
                "methods": methods or (),
                "chain": chain or (),
            },
            "compose": {"span": span, "to": None if to in (None, "") else to, "repair": repair or 0},
        }
    )


def head_of(name: Any) -> tuple[int, int]:
    """Layer and head of a name; what is none stands for a head that no state takes."""
    layer, _, head = str(name).partition(".")
    return (int(layer), int(head)) if layer.isdigit() and head.isdigit() else (-1, -1)
