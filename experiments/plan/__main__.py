"""``python -m experiments.plan model=llama-3.1-70b``."""

from experiments.plan.settings import PlanSettings
from pkv_interp.run.command import command


def plan(settings: PlanSettings) -> None:
    """Print the plan."""
    # Its imports take seconds, and wait until the settings are checked.
    from experiments.plan.show import show

    show(settings)


main = command("plan", PlanSettings, plan)

if __name__ == "__main__":
    main()
