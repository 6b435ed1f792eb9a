"""``python -m pkv_interp.records check results/``: exit code 0 when all are valid, 2 when not.

Stale records are valid: they are named, with the key that has moved, and do not change the exit code.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from pkv_interp.errors import PkvError
from pkv_interp.output import print_anything
from pkv_interp.records.check import check, stale_records


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    print_anything()
    parser = argparse.ArgumentParser(prog="python -m pkv_interp.records", description="Look after records.")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="validate every record under a folder")
    checking.add_argument("results", help="results folder, or one record")
    chosen = parser.parse_args(arguments)
    # One line per problem even on a narrow terminal, and nothing in it read as markup.
    out = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    try:
        n_records, problems = check(chosen.results)
    except PkvError as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False).print(str(error))
        return 2
    for problem in problems:
        out.print(str(problem))
    stale = stale_records(chosen.results)
    for path, reason in stale:
        out.print(f"{path}: stale: {reason}")
    out.print(f"{n_records} records, {len(problems)} problems, {len(stale)} stale")
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
