"""``python -m experiments.agent``."""

from experiments import find
from experiments.agent.settings import AgentSettings
from pkv_interp.run.command import experiment_command

main = experiment_command("agent", AgentSettings, find)

if __name__ == "__main__":
    main()
