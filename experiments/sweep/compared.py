"""Records of one experiment side by side: what each is called, and which headlines they state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pkv_interp.errors import PkvError, short, suggestion
from pkv_interp.records import RunRecord
from pkv_interp.records.schema import HeadlineFigure

#: Settings that the subject of a record already tells.
_TOLD = frozenset({"model", "model.name", "layout"})


@dataclass(frozen=True)
class Compared:
    """One record among others.

    Attributes:
        label: model and layout, with the settings in which it differs from others of the same.
        record: what was found.
    """

    label: str
    record: RunRecord

    @property
    def failed(self) -> bool:
        """Whether the model failed the competence gate, so that its mechanism headlines are held back."""
        return self.record.competence is not None and not self.record.competence.passed

    @property
    def gate(self) -> str:
        """The gate in a word or two."""
        found = self.record.competence
        if found is None:
            return "none"
        if not found.passed:
            return "FAILED"
        return "passed" if found.screen is None else f"{found.screen.used} right pairs"

    def cell(self, headline: str) -> str:
        """A headline with its interval; a dash where it is not stated."""
        figure = self.record.headline.get(headline)
        if figure is None:
            return "-"
        return str(figure) if figure.ci_low is not None else f"{figure.value:.3f} [one family]"


def compared(records: Iterable[RunRecord]) -> list[Compared]:
    """Records of one experiment, each under a label of its own; of those that asked the same, the newest.

    Args:
        records: of one experiment, in any order.
    """
    by_subject: dict[str, list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: record.started_at):
        by_subject.setdefault(record.subject, []).append(record)
    found: dict[str, RunRecord] = {}
    for subject, group in sorted(by_subject.items()):
        configs = [_flat(record.config) for record in group]
        differing = _differing(configs)
        for record, config in zip(group, configs, strict=True):
            settings = [f"{name}={short(config.get(name), 24)}" for name in differing]
            # A later one of the same label was asked the same, by newer code.
            found[f"{subject} {' '.join(settings)}".strip()] = record
    return [Compared(label, record) for label, record in found.items()]


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """Settings by key, those of the model as they are written on a command line."""
    return {**config, **{f"model.{name}": value for name, value in (config.get("model") or {}).items()}}


def _differing(configs: Sequence[dict[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for config in configs for name in config if name not in _TOLD)
    return [name for name in names if any(config.get(name) != configs[0].get(name) for config in configs)]


def stated(columns: Sequence[Compared], wanted: Sequence[str] | None) -> dict[str, HeadlineFigure]:
    """Headlines that any of the records states, with one figure of each for its words and bounds.

    Args:
        columns: the records.
        wanted: names, in the order in which they are told; None for all.

    Raises:
        PkvError: none of the records states a headline that is wanted.
    """
    found: dict[str, HeadlineFigure] = {}
    for column in columns:
        for name, figure in column.record.headline.items():
            found.setdefault(name, figure)
    for name in wanted or ():
        if name not in found:
            raise PkvError(f"no record states a headline {short(name)}", suggestion(name, found))
    return found if wanted is None else {name: found[name] for name in wanted}
