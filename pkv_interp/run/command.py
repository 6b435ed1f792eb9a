"""The command line of every experiment: Hydra in, checked settings out, one clear line for bad input.

Nothing here imports torch: settings are checked first, and what takes seconds to import waits until they are.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from pkv_interp.errors import PkvError
from pkv_interp.run.arguments import CONFIGS, checked_arguments
from pkv_interp.run.jobs import Jobs, fail, quieten
from pkv_interp.run.launchers import check_launcher
from pkv_interp.run.own_data import refuse_own_data
from pkv_interp.run.settings import CommandSettings, ExperimentSettings

S = TypeVar("S", bound=CommandSettings)
E = TypeVar("E", bound=ExperimentSettings)
_LONGEST = 400


def command(name: str, schema: type[S], act: Callable[[S], Any]) -> Callable[[], None]:
    """A command line; bad input ends in one line on stderr and exit code 2.

    Args:
        name: of its file under configs/.
        schema: class of its settings.
        act: what it does with them; what it needs is best imported inside it.
    """

    def run() -> None:
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let errors through, we print them ourselves
        quieten()
        jobs = Jobs(schema, act)
        task = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(jobs.run)
        try:
            # The check of arguments would only say that there is no such key.
            refuse_own_data((one.lstrip("+").split("=")[0] for one in sys.argv[1:]), schema.model_fields)
            sys.argv[1:] = checked_arguments(schema, sys.argv[1:])
            check_launcher(sys.argv[1:])
            _run(task, jobs)
        except PkvError as error:
            sys.exit(fail(str(error), error.code))
        except (HydraException, OmegaConfBaseException) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            told = " ".join(lines[:2])[:_LONGEST]
            sys.exit(fail(f"{told}; see configs/{name}.yaml for the keys"))
        except OSError as error:
            if jobs.acting:
                raise
            place = f"cannot write {error.filename or os.getcwd()}: {error.strerror or error}"
            sys.exit(fail(f"{place}; run in a folder that can be written to, or set hydra.sweep.dir"))
        except KeyboardInterrupt:
            still = "; runs that a launcher has begun may go on" if jobs.launched else ""
            sys.exit(fail(f"interrupted{still}; run the same command again and it continues", 130))

    return run


def _run(task: Callable[[], None], jobs: Jobs) -> None:
    """Run all of them, and say at the end which failed."""
    try:
        task()
    except (PkvError, HydraException, OmegaConfBaseException):
        raise
    except Exception as error:
        # What a run raised it has kept to itself, so this is the launcher's own, for example a lost worker.
        if not jobs.launched:
            raise
        jobs.close(error)
    else:
        jobs.close()


def experiment_command(name: str, schema: type[E], find: Callable[[str], Any]) -> Callable[[], None]:
    """The command line of an experiment.

    Args:
        name: of the experiment.
        schema: class of its settings.
        find: gives the experiment by its name; called once the settings are checked.
    """
    return command(name, schema, lambda settings: find(name).run(settings))
