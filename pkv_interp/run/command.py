"""The command line of every experiment: Hydra in, checked settings out, one clear line for bad input."""

import difflib
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import hydra
import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import CATALOGUE
from pkv_interp.records.run import Interrupted
from pkv_interp.run.experiment import Experiment
from pkv_interp.run.own_data import refuse_own_data
from pkv_interp.run.settings import CommandSettings, checked

CONFIGS = CATALOGUE.parent
S = TypeVar("S", bound=CommandSettings)


def settings_of(schema: type[S], config: DictConfig) -> S:
    """Turn a composed config into a command's settings.

    Raises:
        PkvError: a key is unknown, missing or of the wrong type; the line names the first such key.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise PkvError(f"config: {str(error).splitlines()[0]}", "set the key on the command line") from error
    return checked(schema, {str(key): value for key, value in dict(values).items()})  # pyright: ignore


def check_model_names(arguments: list[str]) -> None:
    """Refuse unknown model names before Hydra does, so that the message is one line.

    Raises:
        PkvError: a name in ``model=a,b`` has no file under configs/model.
    """
    known = sorted(path.stem for path in CATALOGUE.glob("*.yaml"))
    for argument in arguments:
        if argument.startswith("model="):
            for name in argument.removeprefix("model=").split(","):
                if name not in known:
                    close = difflib.get_close_matches(name, known, n=3) or known
                    raise PkvError(f"unknown model '{name}'", f"choose for example {', '.join(close[:8])}")


def command(name: str, schema: type[S], act: Callable[[S], Any]) -> Callable[[], None]:
    """A command line; bad input ends in one line on stderr and exit code 2.

    Args:
        name: of its file under configs/.
        schema: class of its settings.
        act: what it does with them.
    """

    @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)
    def task(config: DictConfig) -> None:
        try:
            settings = settings_of(schema, config)
            if settings.threads:
                torch.set_num_threads(settings.threads)
            act(settings)
        except Interrupted as error:
            raise SystemExit(_fail(str(error), 130)) from error
        except PkvError as error:  # Hydra would print a line of its own before passing it on
            raise SystemExit(_fail(str(error))) from error

    def run() -> None:
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let errors through, we print them ourselves
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").setLevel(logging.ERROR)
        try:
            check_model_names(sys.argv[1:])
            # Hydra would only say that the key is not in struct.
            refuse_own_data((one.lstrip("+").split("=")[0] for one in sys.argv[1:]), schema.model_fields)
            task()
        except PkvError as error:
            sys.exit(_fail(str(error)))
        except (HydraException, OmegaConfBaseException) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            sys.exit(_fail(f"{' '.join(lines[:2])}; see configs/{name}.yaml for the keys"))
        except KeyboardInterrupt:
            sys.exit(_fail("interrupted; run the same command again and it continues", 130))

    return run


def experiment_command(experiment: Experiment[Any, Any]) -> Callable[[], None]:
    """The command line of an experiment."""
    return command(experiment.name, experiment.settings, experiment.run)


def _fail(line: str, code: int = 2) -> int:
    sys.stderr.write(f"error: {line}\n")
    return code
