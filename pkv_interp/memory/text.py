"""What a memory says: blocks of text, in which the values of settings may change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pkv_interp.editing.text import check_value, field, text
from pkv_interp.errors import PkvError, short
from pkv_interp.indices import whole
from pkv_interp.prompts.segments import Segment
from pkv_interp.prompts.special import checked_text

#: The text of one block: plain segments, and fields that are its settings.
Block = tuple[Segment, ...]
#: How a setting is written where only its name and value are given.
LINE = "- {name}: {value}\n"
_HINT = "give a mapping of names to values, or a list of texts, mappings and lists with field(name, value)"


def blocks_of(given: Any, title: str, line: str) -> tuple[Block, ...]:
    """The blocks of a memory as a user gives them.

    Args:
        given: a mapping of names to values, which is one block; or a list of blocks, each a text, a mapping,
            or a list of texts and fields.
        title: stands before the first block.
        line: of a setting in a mapping, with ``{name}`` and ``{value}`` in it.

    Raises:
        PkvError: something else, no block, a setting that stands twice or has no value, a line that does
            not give both.
    """
    _check_line(line)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise PkvError(f"a memory of {short(given)}, of type {type(given).__name__}, was asked for", _HINT)
    listed: list[Any] = [given] if isinstance(given, Mapping) else list(given)
    blocks = [_block(one, number, line) for number, one in enumerate(listed, 1)]
    if not blocks:
        raise PkvError("a memory without a block was asked for", _HINT)
    if checked_text(title, "the title"):
        blocks[0] = (text(title if title[-1].isspace() else f"{title}\n"), *blocks[0])
    settings_of(blocks)
    return tuple(blocks)


def _check_line(line: str) -> None:
    """Refuse a line that is not filled in by a name and, once, a value."""
    try:
        made = checked_text(line, "the line").format(name="", value="")
    except (KeyError, IndexError, ValueError, AttributeError):
        made = None
    if made is None or "{name}" not in line or line.count("{value}") != 1:
        raise PkvError(f"the line {short(line)} does not give name and value", f"write it as {LINE!r}")


def _block(given: Any, number: int, line: str) -> Block:
    if isinstance(given, str):
        return (field(f"block {number}", given),)
    if isinstance(given, Mapping):
        if not given:
            raise PkvError(f"block {number} of the memory has no setting", _HINT)
        before, after = line.split("{value}")
        return tuple(
            segment
            for name, value in given.items()
            for segment in (
                text(before.format(name=name)),
                field(name, value),
                text(after.format(name=name)),
            )
            if segment.kind == "field" or segment.text
        )
    if not isinstance(given, Sequence) or not all(isinstance(part, str | Segment) for part in given):
        raise PkvError(f"block {number} of the memory is {short(given)}", _HINT)
    parts = tuple(text(part) if isinstance(part, str) else part for part in given)
    if not any(part.kind == "field" for part in parts):
        raise PkvError(
            f"block {number} of the memory has no setting",
            "mark what may change with field(name, value), or give the block as one text",
        )
    if any(part.isolated for part in parts):
        raise PkvError(f"block {number} of the memory has an isolated field", "mark it as a plain field")
    return parts


def settings_of(blocks: Iterable[Block]) -> dict[str, str]:
    """The value of every setting, in the order of the text.

    Raises:
        PkvError: a setting stands twice, or has no name or value.
    """
    found: dict[str, str] = {}
    for segment in (segment for block in blocks for segment in block if segment.kind == "field"):
        if not isinstance(segment.name, str) or not segment.name.strip():
            raise PkvError(f"the setting of value {short(segment.text)} has no name", "name it")
        if segment.name in found:
            raise PkvError(
                f"the setting {short(segment.name)} stands twice", "give each setting a name of its own"
            )
        found[segment.name] = check_value(segment.name, segment.text)
    return found


def lines_of(block: Block) -> list[Block]:
    """The lines of a block; a field is in one of them, whatever line breaks it has."""
    lines: list[Block] = []
    line: list[Segment] = []
    for segment in block:
        pieces = [segment.text] if segment.kind == "field" else segment.text.splitlines(keepends=True)
        for piece in pieces:
            line.append(segment if segment.kind == "field" else text(piece))
            if segment.kind != "field" and piece.endswith("\n"):
                lines.append(tuple(line))
                line = []
    return [*lines, tuple(line)] if line else lines


def without(block: Block, setting: str) -> Block:
    """A block without the line of a setting.

    Raises:
        PkvError: another setting stands in that line.
    """
    kept: list[Segment] = []
    for line in lines_of(block):
        here = [segment.name for segment in line if segment.kind == "field"]
        if setting not in here:
            kept += line
        elif len(here) > 1:
            other = next(name for name in here if name != setting)
            raise PkvError(
                f"the line of {short(setting)} gives {short(other)} as well",
                "forget a setting that has a line of its own, or update it",
            )
    return tuple(kept)


def split(blocks: Sequence[Block], n: int) -> tuple[Block, ...]:
    """The same text as ``n`` blocks of about one length, cut at ends of lines.

    Raises:
        PkvError: fewer lines with a setting than blocks.
    """
    n = whole(n, "the number of blocks", 1)
    groups: list[list[Segment]] = []  # lines without a setting go with the next one that has one
    for line in (line for block in blocks for line in lines_of(block)):
        has_setting = groups and any(segment.kind == "field" for segment in groups[-1])
        if has_setting or not groups:
            groups.append([])
        groups[-1] += line
    if len(groups) > 1 and not any(segment.kind == "field" for segment in groups[-1]):
        last = groups.pop()
        groups[-1] += last
    if n > len(groups):
        raise PkvError(
            f"{n} blocks of a memory of {len(groups)} lines were asked for", f"ask for 1 to {len(groups)}"
        )
    lengths = [sum(len(segment.text) for segment in group) for group in groups]
    made: list[list[Segment]] = [[] for _ in range(n)]
    at, before, total = 0, 0, sum(lengths)
    for number, (group, length) in enumerate(zip(groups, lengths, strict=True)):
        left = len(groups) - number
        # The next block begins where this one has its share, and no later than there is a line for each left.
        full = made[at] and (before + length / 2) * n >= (at + 1) * total
        if at < n - 1 and made[at] and (full or left < n - at):
            at += 1
        made[at] += group
        before += length
    return tuple(tuple(block) for block in made)
