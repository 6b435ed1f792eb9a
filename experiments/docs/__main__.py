"""``python -m experiments.docs [--check]``: README.md and docs/*.md from results/, without results/local/."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.docs.tables import filled
from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.output import print_anything
from pkv_interp.records import load_records, newest_of_each_model
from pkv_interp.records.cited import corrected
from pkv_interp.records.find import LOCAL

ROOT = Path(__file__).resolve().parents[2]


def documents() -> list[Path]:
    """Everything that may hold marked tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; with ``--check`` nothing is written, and stale documents are an error."""
    print_anything()
    parser = argparse.ArgumentParser(prog="python -m experiments.docs", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only say whether the tables are those of results/"
    )
    chosen = parser.parse_args(arguments)
    chosen_records, remarks = newest_of_each_model(load_records(ROOT / "results", without=LOCAL))
    for remark in remarks:
        sys.stderr.write(f"{remark}\n")
    records = {(r.experiment, r.subject): r for r in chosen_records}
    changed = []
    for path in documents():
        text = path.read_text(encoding="utf-8")
        try:
            made = corrected(filled(text, records), records)
        except PkvError as error:
            sys.stderr.write(f"error: {path.name}: {error}\n")
            return 2
        if made != text:
            changed.append(path.name)
            if not chosen.check:
                atomic_write(path, made.encode())
    sys.stdout.write(f"{len(documents())} documents, changed: {', '.join(changed) or 'none'}\n")
    return 2 if chosen.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
