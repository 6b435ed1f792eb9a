"""From records on disk to data frames."""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError

from pkv_interp.errors import PkvError
from pkv_interp.paths import expanded
from pkv_interp.records.find import check_experiment, record_files, wanted_statuses
from pkv_interp.records.rules import Finding, findings_of
from pkv_interp.records.schema import SCHEMA_VERSION, RunRecord
from pkv_interp.records.upgrade import READABLE, upgraded

_ROW = ("family", "split", "instance", "wording", "arm", "clean", "corrupt", "patched")
_RUN = ("experiment", "model", "weights", "seed", "status", "key", "file")
log = logging.getLogger(__name__)


def parse(path: Path) -> RunRecord | list[Finding]:
    """The record in ``path``, or everything that is wrong with it (pointer, or line and column)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = json.loads(text)
    except json.JSONDecodeError as error:
        return [Finding(f"line {error.lineno} column {error.colno}", f"not JSON: {error.msg}")]
    except UnicodeDecodeError as error:
        return [Finding(f"byte {error.start}", "not UTF-8 text")]
    except OSError as error:
        return [Finding("/", f"cannot be read: {error.strerror}")]
    except RecursionError:
        return [Finding("/", "not a record: lists or objects lie too deep inside each other")]
    except ValueError:  # an integer of more digits than Python converts
        return [Finding("/", "not a record: a number has thousands of digits")]
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version not in (SCHEMA_VERSION, *READABLE):
        newer = version > SCHEMA_VERSION
        advice = "upgrade it (pkv_interp)" if newer else "run the experiment again"
        cause = f"{version}, but this program reads up to {SCHEMA_VERSION}: {advice}"
        return [Finding("/schema_version", cause, newer)]
    try:
        # Through JSON text rather than Python objects, so that times are read and numbers stay strict.
        current = isinstance(document, dict) and version in READABLE
        record = RunRecord.model_validate_json(json.dumps(upgraded(document)) if current else text)
    except ValidationError as error:
        return findings_of(error, document)
    record._path = path
    return record


def read(path: str | Path) -> RunRecord:
    """One record.

    Raises:
        PkvError: it is missing or not valid; names the file, the place and the cause.
    """
    path = expanded(path)
    found = parse(path)
    if isinstance(found, RunRecord):
        return found
    if found[0].newer:
        raise PkvError(f"{path} is of a newer pkv_interp: {found[0].cause}", "nothing is wrong with the file")
    raise PkvError(
        f"{path} is not a valid record: {found[0].pointer}: {found[0].cause}",
        "repair it, bring it back with `git checkout`, or delete it",
    )


def load_records(
    results: str | Path,
    *,
    experiment: str | None = None,
    status: str | Iterable[str] = ("success",),
    latest: bool = True,
    without: str | None = None,
) -> list[RunRecord]:
    """Records under ``results``; with ``latest`` the newest only of those that asked the same.

    ``without`` names a folder right under it that is not read (`LOCAL`: one's own runs).

    The same means experiment, model, weights, seed and all settings that measuring reads: what is left out
    was made by other code. A warning says how many were. `newest_of_each_model` gives one record of a model.

    Raises:
        PkvError: no such folder, status or experiment, or a record that is not valid (nothing is skipped in
            silence).
    """
    wanted = wanted_statuses(status)
    found = [read(path) for path in record_files(results, without=without)]
    check_experiment(experiment, {record.experiment for record in found})
    kept = [
        record
        for record in found
        if record.status in wanted and (experiment is None or record.experiment == experiment)
    ]
    if latest:
        kept = _without_copies(kept, results)
        newest = {_question(r): r for r in sorted(kept, key=lambda record: record.started_at)}
        if len(newest) < len(kept):
            log.warning(
                "%d records in %s, measured again by newer code, are left out; latest=False keeps them",
                len(kept) - len(newest),
                results,
            )
        kept = list(newest.values())
    return sorted(kept, key=lambda record: (record.experiment, record.model_name, record.started_at))


def _without_copies(records: list[RunRecord], results: str | Path) -> list[RunRecord]:
    """One of each record that lies in several places; a warning says where a copy is."""
    first: dict[str, RunRecord] = {}
    copies = [record for record in records if first.setdefault(_content(record), record) is not record]
    if copies:
        log.warning(
            "%d records in %s are copies of others and are left out, for example %s; latest=False keeps them",
            len(copies),
            results,
            copies[0].path,
        )
    return list(first.values())


def _content(record: RunRecord) -> str:
    return record.model_dump_json()


def _question(record: RunRecord) -> str:
    """What a record was asked for, whatever code answered it."""
    asked = {name: value for name, value in record.config.items() if name not in record.summary_only}
    identity = [record.experiment, record.model_name, record.weights, record.seed, asked]
    return json.dumps(identity, sort_keys=True)


def newest_of_each_model(records: Iterable[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """The newest record of each experiment and subject, and a line on each that has several."""
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: record.started_at):
        groups.setdefault((record.experiment, record.subject), []).append(record)
    remarks = [
        f"{len(group)} records of {experiment} on {model}: the newest is taken, {group[-1].path}"
        for (experiment, model), group in groups.items()
        if len(group) > 1
    ]
    return [group[-1] for _, group in sorted(groups.items())], remarks


def _run_columns(record: RunRecord) -> dict[str, Any]:
    return {
        "experiment": record.experiment,
        "model": record.model_name,
        "weights": None if record.weights is None else record.weights[:12],
        "seed": record.seed,
        "status": record.status,
        "key": record.key,
        "file": str(record.path),
    }


def _row_columns(record: RunRecord) -> Iterator[dict[str, Any]]:
    run = _run_columns(record)
    for row in record.rows:
        columns = run | {name: getattr(row, name) for name in _ROW}
        for name, value in row.extra.items():
            columns[f"extra_{name}" if name in columns else name] = value
        yield columns


def load(
    results: str | Path,
    *,
    experiment: str | None = None,
    status: str | Iterable[str] = ("success",),
    latest: bool = True,
) -> pd.DataFrame:
    """One line per instance and arm, with the run's experiment, model, seed, status, key and file repeated.

    Columns of ``extra`` keep their names, or get ``extra_`` in front where the name is taken.
    """
    found = load_records(results, experiment=experiment, status=status, latest=latest)
    lines = [line for record in found for line in _row_columns(record)]
    return pd.DataFrame(lines) if lines else pd.DataFrame(columns=pd.Index([*_RUN, *_ROW]))


def headlines(
    results: str | Path,
    *,
    experiment: str | None = None,
    status: str | Iterable[str] = ("success",),
    latest: bool = True,
) -> pd.DataFrame:
    """One line per headline figure: name, value, ci_low, ci_high, n_families, n_instances and the run."""
    found = load_records(results, experiment=experiment, status=status, latest=latest)
    lines = [
        _run_columns(record) | {"name": name} | estimate.model_dump()
        for record in found
        for name, estimate in record.headline.items()
    ]
    columns = [*_RUN, "name", "value", "ci_low", "ci_high", "n_families", "n_instances"]
    return pd.DataFrame(lines, columns=pd.Index(columns))


def arrays(record: RunRecord) -> dict[str, torch.Tensor]:
    """The large arrays of a record that was read from disk; empty where it has none.

    Raises:
        PkvError: the file beside the record is missing or damaged.
    """
    if record.arrays is None:
        return {}
    if record.path is None:
        raise PkvError("the record was not read from a file", "read it with records.read")
    path = record.path.with_name(record.arrays)
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise PkvError(f"{path} cannot be read: {error}", "run the experiment again") from error
