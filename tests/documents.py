"""README, docs and CONTRIBUTING, taken apart: their fenced blocks, code spans, links and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: What the generator of tables fills, and the other texts that give commands.
PATHS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
_FENCED = re.compile(r"(?:^<!-- (\w+): (\S+) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        document: file name of the text that it stands in.
        language: after the opening fence.
        code: what stands between the fences.
        what: ``"file"`` or ``"change"`` where a comment before the block names a path, else "".
        path: that path.
    """

    document: str
    language: str
    code: str
    what: str
    path: str


def text_of(name: str) -> str:
    """A text by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, document: str) -> list[Block]:
    """Fenced blocks in their order."""
    return [Block(document, m[3], m[4], m[1] or "", m[2] or "") for m in _FENCED.finditer(text)]


@cache
def all_blocks() -> tuple[Block, ...]:
    """Fenced blocks of every text."""
    return tuple(
        block
        for path in PATHS
        for block in blocks(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    )


def commands() -> list[str]:
    """Every command line: lines of shell blocks without their comments, and code spans that start as one."""
    found = []
    for path in PATHS:
        text = path.read_text(encoding="utf-8")
        for block in blocks(text, path.name):
            if block.language == "sh":
                found += [re.sub(r"\s+#.*", "", line).strip() for line in block.code.splitlines()]
        plain = _FENCED.sub("", text)
        found += re.findall(r"`((?:python -m|make|\.venv/bin/python -m) [^`]+)`", plain)
    return sorted({line for line in found if line and not line.startswith("#")})


@cache
def made_by_recipes() -> frozenset[str]:
    """Names of what the recipes add: experiments, modules and models that are in no checkout."""
    new = [Path(block.path) for block in all_blocks() if block.what == "file" and "/" in block.path]
    return frozenset(path.stem for path in new if path.parent.name in ("methods", "model")) | {
        path.parent.name for path in new if path.parts[0] == "experiments"
    }


def write_files(folder: Path, document: str) -> None:
    """Write the files of a user's own that a document shows, those whose path is a name alone."""
    for block in all_blocks():
        if block.document == document and block.what == "file" and "/" not in block.path:
            (folder / block.path).write_text(block.code, encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading of the second level.

    Raises:
        AssertionError: there is no such heading.
    """
    assert f"## {heading}\n" in text, heading
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
