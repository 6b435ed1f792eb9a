"""``python -m experiments.train_gate``."""

from rich.console import Console

from experiments.train_gate.measure import Measured, measure
from experiments.train_gate.settings import TrainGateSettings
from experiments.train_gate.summary import summarise
from experiments.train_gate.tables import ChatLoss
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import first_of
from pkv_interp.run.command import command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("train_gate", TrainGateSettings, Measured, measure, summarise)


def train_gate(settings: TrainGateSettings) -> RunRecord:
    """Train, judge, record."""
    record = EXPERIMENT.run(settings)
    ratio = first_of(record, ChatLoss).ratio
    Console(stderr=True).print(f"chat loss adapted / base: {ratio:.3f}")
    return record


main = command("train_gate", TrainGateSettings, train_gate)

if __name__ == "__main__":
    main()
