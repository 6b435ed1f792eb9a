"""The command line of every experiment: Hydra in, checked settings out, one clear line for bad input.

Nothing here imports torch: settings are checked first, and what takes seconds to import waits until they are.
"""

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import check_place
from pkv_interp.output import print_anything
from pkv_interp.run.arguments import CONFIGS, checked_arguments
from pkv_interp.run.machine import using_threads
from pkv_interp.run.own_data import refuse_own_data
from pkv_interp.run.settings import CommandSettings, ExperimentSettings, checked

S = TypeVar("S", bound=CommandSettings)
E = TypeVar("E", bound=ExperimentSettings)
_LONGEST = 400


def settings_of(schema: type[S], config: DictConfig) -> S:
    """Turn a composed config into a command's settings.

    Raises:
        PkvError: a key is unknown, missing or of the wrong type; the line names the first such key.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise PkvError(f"config: {str(error).splitlines()[0]}", "set the key on the command line") from error
    assert isinstance(values, Mapping)
    return checked(schema, {str(key): value for key, value in values.items()})


class _Jobs:
    """The runs of one command line; of several, one that fails does not keep the others from running."""

    def __init__(self, schema: type[CommandSettings], act: Callable[[Any], Any]) -> None:
        self.schema, self.act = schema, act
        self.failed: list[str] = []
        self.number = 0
        self.acting = False  # what is raised meanwhile is the run's own, and not Hydra's

    def run(self, config: DictConfig) -> None:
        """One run.

        Raises:
            SystemExit: it failed and is the only one, or the user stopped it.
        """
        several = HydraConfig.get().mode is RunMode.MULTIRUN
        self.number += 1
        try:
            settings = settings_of(self.schema, config)
            if isinstance(settings, ExperimentSettings):
                check_place(settings.model)
            self.acting = True
            with using_threads(settings.threads):
                self.act(settings)
            self.acting = False
        except PkvError as error:  # Hydra would print a line of its own before passing it on
            code = _fail(str(error), error.code)
            if not several or code != PkvError.code:
                raise SystemExit(code) from error
            self._note()
        except Exception:
            if not several:
                raise
            traceback.print_exc()
            self._note()

    def _note(self) -> None:
        self.acting = False
        self.failed.append(",".join(HydraConfig.get().overrides.task) or f"number {self.number}")

    def close(self) -> None:
        """Say at the end which of several failed.

        Raises:
            PkvError: one did.
        """
        if self.failed:
            which = "; ".join(self.failed[:8]) + (" ..." if len(self.failed) > 8 else "")
            raise PkvError(f"{len(self.failed)} of {self.number} runs failed: {which}", "their lines say why")


def command(name: str, schema: type[S], act: Callable[[S], Any]) -> Callable[[], None]:
    """A command line; bad input ends in one line on stderr and exit code 2.

    Args:
        name: of its file under configs/.
        schema: class of its settings.
        act: what it does with them; what it needs is best imported inside it.
    """

    def run() -> None:
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let errors through, we print them ourselves
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").setLevel(logging.ERROR)
        print_anything()
        jobs = _Jobs(schema, act)
        task = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(jobs.run)
        try:
            # The check of arguments would only say that there is no such key.
            refuse_own_data((one.lstrip("+").split("=")[0] for one in sys.argv[1:]), schema.model_fields)
            sys.argv[1:] = checked_arguments(schema, sys.argv[1:])
            task()
            jobs.close()
        except PkvError as error:
            sys.exit(_fail(str(error), error.code))
        except (HydraException, OmegaConfBaseException) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            told = " ".join(lines[:2])[:_LONGEST]
            sys.exit(_fail(f"{told}; see configs/{name}.yaml for the keys"))
        except OSError as error:
            if jobs.acting:
                raise
            place = f"cannot write {error.filename or os.getcwd()}: {error.strerror or error}"
            sys.exit(_fail(f"{place}; run in a folder that can be written to, or set hydra.sweep.dir"))
        except KeyboardInterrupt:
            sys.exit(_fail("interrupted; run the same command again and it continues", 130))

    return run


def experiment_command(name: str, schema: type[E], find: Callable[[str], Any]) -> Callable[[], None]:
    """The command line of an experiment.

    Args:
        name: of the experiment.
        schema: class of its settings.
        find: gives the experiment by its name; called once the settings are checked.
    """
    return command(name, schema, lambda settings: find(name).run(settings))


def _fail(line: str, code: int = PkvError.code) -> int:
    sys.stderr.write(f"error: {line}\n")
    return code
