"""``python -m experiments.train_gate``."""

from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.run.command import command


def train_gate(settings: TrainGateSettings) -> None:
    """Train, judge, record."""
    # These imports take seconds, and wait until the settings are checked.
    from rich.console import Console

    from experiments.train_gate.experiment import EXPERIMENT
    from experiments.train_gate.tables import ChatLoss
    from pkv_interp.records.tables import first_of

    ratio = first_of(EXPERIMENT.run(settings), ChatLoss).ratio
    Console(stderr=True).print(f"chat loss adapted / base: {ratio:.3f}")


main = command("train_gate", TrainGateSettings, train_gate)

if __name__ == "__main__":
    main()
