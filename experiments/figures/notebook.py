"""What the notebooks share: the newest record, its figures, tables and headlines, where they are there."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from IPython.display import display

from experiments.figures.rooms import draw as drawn
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records, newest_of_each_model, published

PREFERRED = "smollm2-135m-gate"


def say(text: str) -> None:
    """A line of output."""
    sys.stdout.write(f"{text}\n")


def results() -> Path:
    """The results folder: ``PKV_RESULTS``, or ``results`` beside or above the notebook."""
    place = Path(os.environ.get("PKV_RESULTS", "results"))
    above = Path("..", place)
    return above if not place.is_dir() and above.is_dir() else place


def newest(
    experiment: str, subject: str | None = None, asked: str = "layout", preferred: str = PREFERRED
) -> RunRecord | None:
    """The record of a subject; None, with a line, where there is none.

    Args:
        experiment: its name.
        subject: a model, with ``@`` and what was asked for where that is not the usual one. None: the
            preferred model, or else the newest record of any.
        asked: the setting that stands after the ``@``.
        preferred: the model whose record is taken, where there is one, if no subject is named.
    """
    place = results()
    records = load_records(place, experiment=experiment) if place.is_dir() else []
    found, remarks = newest_of_each_model(records)
    for remark in remarks:
        say(remark)
    wanted = [record for record in found if record.subject == (subject or preferred)]
    if not (wanted if subject else found):
        model, _, value = (subject or "").partition("@")
        given = f" model={model}" * bool(model) + f" {asked}={value}" * bool(value)
        say(
            f"{experiment}: no record{f' of {subject}' * bool(subject)} under {place}; "
            f"make one with `python -m experiments.{experiment}{given}`"
        )
        return None
    record = max(wanted or found, key=lambda r: r.started_at)
    if not wanted:
        say(f"{experiment}: no record of {preferred}; this is the newest one present")
    say(f"{experiment}: model {record.subject}, record {record.path.name if record.path else record.key}")
    gate = record.competence
    if gate is not None:
        sides = ", ".join(f"{side} {value:.2f}" for side, value in gate.per_value.items())
        passed = f"figures on {gate.basis}" if gate.basis else "competent"
        say(f"two-way accuracy {gate.accuracy} ({sides}): {passed if gate.passed else NOT_COMPETENT}")
    return record


def draw(record: RunRecord | None, name: str) -> None:
    """Show a figure of a record that is there and has what the figure needs."""
    if record is None:
        return
    try:
        display(drawn(record, name))
    except PkvError as error:
        say(f"left out: {error}")


def lines(record: RunRecord | None, name: str, *columns: str) -> None:
    """Show some columns of one of a record's tables, all of them when none is named."""
    if record is None:
        return
    found = record.tables.get(name)
    if not found:
        say(f"left out: {record.path} has no table '{name}'")
        return
    frame = pd.DataFrame(found)
    display(frame[[column for column in columns if column in frame]] if columns else frame)


def headline(record: RunRecord | None, *names: str) -> None:
    """Show headline figures with their intervals, all of them when none is named."""
    if record is None:
        return
    stated = [name for name in names or record.headline if name in record.headline]
    if stated:
        display(pd.DataFrame([{"headline": n, **record.headline[n].model_dump()} for n in stated]))
    else:
        which = f"no {' or '.join(names)}" if names else "none of these figures"
        say(f"This record states {which}: its model did not pass the competence gate.")


def beside_published(records: Iterable[RunRecord | None]) -> None:
    """Show headlines beside what was published for them, with its note."""
    found = []
    for record in records:
        if record is None:
            continue
        every = published(experiment=record.experiment)
        for name, ours in record.headline.items():
            theirs = every[every["headline"] == name].assign(figure=name, ours=str(ours))
            if len(theirs):
                found.append(theirs.assign(experiment=record.experiment))
    columns = ["experiment", "figure", "ours", "value", "ci_low", "ci_high", "model", "note"]
    if found:
        frame = pd.concat(found).loc[:, columns].reset_index(drop=True)
        frame.columns = pd.Index(["published" if name == "value" else name for name in columns])
        display(frame)
    else:
        say("There is no figure to compare.")
