"""``python -m experiments.agent``."""

from experiments.agent.measure import Measured, measure
from experiments.agent.settings import AgentSettings
from experiments.agent.summary import summarise
from pkv_interp.run.command import experiment_command
from pkv_interp.run.experiment import Experiment

EXPERIMENT = Experiment("agent", AgentSettings, Measured, measure, summarise)
main = experiment_command(EXPERIMENT)

if __name__ == "__main__":
    main()
