"""``python -m experiments.architectures.document [--check]``: docs/support.md, tried anew."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.architectures.measure import ModelArms
from experiments.architectures.support import support_lines
from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "support.md"
_MARKED = re.compile(r"(<!-- support -->\n).*?(\n<!-- end -->)", re.DOTALL)
_HEADER = (
    *("architecture", "cache", "append", "suffix_recompute", "edit in place", "move and repair"),
    "packed engine",
)


def support_table(models: Sequence[ModelArms]) -> str:
    """Both tables of the document, as Markdown.

    Args:
        models: rows of the table of architectures.
    """
    lines, reasons = support_lines(models)
    served = [
        (
            *(f"`{one.architecture}`", f"{one.cache} ({one.layers})", one.append, one.reprefill_from_field),
            *(one.edit_in_place, one.move, one.engine),
        )
        for one in lines
    ]
    why = [(str(one.number), one.reason, one.architectures) for one in reasons]
    return f"{_markdown(_HEADER, served)}\n\n{_markdown(('', 'reason', 'architectures'), why)}"


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *lines])


def filled(text: str, table: str) -> str:
    """The document with its tables made anew.

    Args:
        text: of the document.
        table: what stands between the marks.

    Raises:
        PkvError: the document has no marks.
    """
    made, n = _MARKED.subn(lambda found: f"{found[1]}{table}{found[2]}", text)
    if n != 1:
        raise PkvError(
            f"{DOCUMENT.name} has {n} places for the table", "write <!-- support --> and <!-- end -->"
        )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; with ``--check`` nothing is written, and a stale document is an error."""
    parser = argparse.ArgumentParser(prog="python -m experiments.architectures.document", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the tables are as tried now")
    chosen = parser.parse_args(arguments)
    # What the command does not need to say what it does is imported late: it takes seconds.
    from experiments.architectures.measure import OfTable, tried_on
    from pkv_interp.models.architecture_table import ARCHITECTURES

    text = DOCUMENT.read_text(encoding="utf-8")
    made = filled(text, support_table([tried_on(name, OfTable.of(name)) for name in ARCHITECTURES]))
    if made != text and not chosen.check:
        atomic_write(DOCUMENT, made.encode())
    sys.stdout.write(f"{DOCUMENT.name}: {'as tried' if made == text else 'changed'}\n")
    return 2 if chosen.check and made != text else 0


if __name__ == "__main__":
    sys.exit(main())
