"""``python -m experiments.summarise [results/... ...]``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from experiments import find
from pkv_interp.errors import PkvError
from pkv_interp.output import print_anything
from pkv_interp.records.archive import archive_path
from pkv_interp.records.find import record_files
from pkv_interp.records.load import read
from pkv_interp.records.schema import RunRecord


def summarise(path: Path) -> str:
    """Summarise one record again; says in a line what that changed.

    Raises:
        PkvError: its measurements are damaged, or the summary fails.
    """
    before = read(path)
    after: RunRecord = find(before.experiment).summarise_again(path)
    moved = [
        name
        for name in before.headline.keys() | after.headline.keys()
        if before.headline.get(name) != after.headline.get(name)
    ]
    return f"{path}: {len(after.headline)} headlines, {len(moved)} of them changed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 when every record was made anew, 2 when not."""
    print_anything()
    parser = argparse.ArgumentParser(prog="python -m experiments.summarise", description=__doc__)
    parser.add_argument("places", nargs="*", default=["results"], help="records, or folders of them")
    chosen = parser.parse_args(arguments)
    out = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    failed = left = 0
    try:
        files = [path for place in chosen.places for path in record_files(place)]
    except PkvError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for path in files:
        if not archive_path(path).is_file():
            left += 1
            continue
        try:
            out.print(summarise(path))
        except PkvError as error:
            failed += 1
            sys.stderr.write(f"error: {path}: {error}\n")
    if left:
        out.print(f"{left} records have no measurements beside them and were left as they are")
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
