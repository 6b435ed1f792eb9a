"""``python -m experiments.audit path=DIR``."""

from experiments.audit.settings import AuditSettings
from pkv_interp.run.command import command


def audit(settings: AuditSettings) -> None:
    """Read the folder, record what was found."""
    # A folder that was not named, or is not there, is told before what takes seconds to import.
    settings.folder.opened()
    from experiments.audit.experiment import EXPERIMENT

    EXPERIMENT.run(settings)


main = command("audit", AuditSettings, audit)

if __name__ == "__main__":
    main()
