"""``python -m experiments.circuit``."""

from experiments.circuit.measure import Measured, measure
from experiments.circuit.settings import CircuitSettings
from experiments.circuit.summary import summarise
from pkv_interp.run.command import experiment_command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("circuit", CircuitSettings, Measured, measure, summarise)
main = experiment_command(EXPERIMENT)

if __name__ == "__main__":
    main()
