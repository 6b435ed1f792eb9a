"""``python -m experiments.sweep report [experiment=NAME] [results_dir=DIR]``."""

import sys

from experiments.sweep.settings import SweepSettings
from pkv_interp.errors import PkvError, short
from pkv_interp.run.command import command
from pkv_interp.run.jobs import fail

_WORD = "report"


def report(settings: SweepSettings) -> None:
    """Print and draw what the records say."""
    # Its imports take seconds, and wait until the settings are checked.
    from experiments.sweep.report import report as told

    told(settings)


def _without_word(arguments: list[str]) -> list[str]:
    """The arguments after the word that says what to do.

    Raises:
        PkvError: there is no such word, or another one.
    """
    if arguments[:1] == [_WORD]:
        return arguments[1:]
    if any(one in ("--help", "-h", "--hydra-help", "--version") for one in arguments):
        return arguments
    given = [one for one in arguments if "=" not in one and not one.startswith("-")]
    cause = f"experiments.sweep has no word {short(given[0])}" if given else "it is not said what to do"
    hint = "write python -m experiments.sweep report [experiment=NAME]; an experiment sweeps with --multirun"
    raise PkvError(cause, hint)


def main() -> None:
    """Run the command line."""
    try:
        sys.argv[1:] = _without_word(sys.argv[1:])
    except PkvError as error:
        sys.exit(fail(str(error), error.code))
    command("sweep", SweepSettings, report)()


if __name__ == "__main__":
    main()
