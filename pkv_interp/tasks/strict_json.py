"""JSON in which nothing is lost: a key that stands twice is refused, and so is what Python cannot hold."""

import json
from typing import Any


class Unreadable(ValueError):
    """Text that is no such JSON.

    Attributes:
        reason: what is wrong.
        line: of the text, 1 where it is not known.
    """

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


def strict_json(text: str) -> Any:
    """What a text holds.

    Raises:
        Unreadable: it is no JSON, an object has a key twice, or it is nested too deep or a number too long.
    """
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON ({error.msg})", error.lineno) from error
    except RecursionError as error:
        raise Unreadable("lists or objects lie too deep inside each other") from error
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable("a number has thousands of digits") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Unreadable(f"the key '{key}' stands twice")
        found[key] = value
    return found
