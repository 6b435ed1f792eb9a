"""What a run prints at its end: one line per headline, in 80 columns."""

from rich.console import Console

from pkv_interp.records.schema import RunRecord

_WIDTH = 80


def headline_lines(record: RunRecord) -> list[str]:
    """One line per headline: name, figure and interval, and as much of what it is as fits."""
    widest = max((len(name) for name in record.headline), default=0)
    lines = []
    for name, figure in record.headline.items():
        line = f"{name:<{widest}}  {figure!s:<24}  {figure.what}".rstrip()
        lines.append(line if len(line) <= _WIDTH else line[: _WIDTH - 1].rstrip() + "…")
    return lines


def show(console: Console, record: RunRecord, *, skipped: bool = False) -> None:
    """Print what was found, the outcome of the gate and the controls, and the path of the record.

    Args:
        console: to print on.
        record: the finished run's.
        skipped: an identical run had finished before, so nothing was done.
    """

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if skipped:
        say(f"skipped: this run was finished before, see {record.path}; resume=false runs it again")
    for line in headline_lines(record):
        say(line)
    if record.competence is not None:
        sides = ", ".join(f"{side} {value:.2f}" for side, value in record.competence.per_value.items())
        verdict = "passed" if record.competence.passed else "failed: no mechanism figures are stated"
        say(f"competence gate {verdict} ({sides}; threshold {record.competence.threshold:.2f})")
    for remark in record.remarks:
        say(f"remark: {remark}")
    say(f"controls: {len(record.controls)} passed; record: {record.path}")
