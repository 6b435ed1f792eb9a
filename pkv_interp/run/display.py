"""What a run prints at its end: one line per headline, in 80 columns."""

from rich.console import Console

from pkv_interp.records.competence import LEAST_FAMILIES, Competence
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


def gate_line(gate: Competence) -> str:
    """The outcome of the gate: on what figures are stated, or that none are."""
    sides = ", ".join(f"{side} {value:.2f}" for side, value in gate.per_value.items())
    if gate.screen is None:
        verdict = "passed" if gate.passed else "failed: no mechanism figures are stated"
        return f"competence gate {verdict} ({sides}; threshold {gate.threshold:.2f})"
    of = f"{gate.screen.families_used} families"
    if gate.passed:
        return f"mechanism figures are stated on {gate.basis}, {of}; all pairs: {sides}"
    return (
        f"no mechanism figures are stated: {gate.basis}, {of}; all pairs: {sides}; it takes {LEAST_FAMILIES} "
        "families, trained weights, and an accuracy above guessing"
    )


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
        say(gate_line(record.competence))
    for remark in record.remarks:
        say(f"remark: {remark}")
    say(f"controls: {len(record.controls)} passed; record: {record.path}")
