"""The door of every experiment: Hydra in, validated settings out, one clear line for bad input."""

import difflib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import hydra
import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.records.run import Interrupted

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


class Door(BaseModel):
    """Keys that every command shares. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    results_dir: Path = Path("results")
    threads: PositiveInt | None = None


class Settings(Door):
    """Keys that every experiment shares; experiments add their own."""

    model: ModelConfig
    seed: NonNegativeInt = 0
    memory_budget_mb: PositiveFloat | None = None
    resume: bool = True


S = TypeVar("S", bound=Door)


def validate(schema: type[S], config: DictConfig) -> S:
    """Turn a composed config into the experiment's settings.

    Raises:
        PkvError: a key is unknown, missing or of the wrong type; the line names the first such key.
    """
    try:
        return schema.model_validate(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise PkvError(
            f"config key '{key}': {first['msg']}", "see the experiment's file under configs/"
        ) from error
    except OmegaConfBaseException as error:
        raise PkvError(f"config: {str(error).splitlines()[0]}", "set the key on the command line") from error


def check_model_names(arguments: list[str]) -> None:
    """Refuse unknown model names before Hydra does, so that the message is one line.

    Raises:
        PkvError: a name in ``model=a,b`` has no file under configs/model.
    """
    known = sorted(p.stem for p in (CONFIGS / "model").glob("*.yaml"))
    for argument in arguments:
        if argument.startswith("model="):
            for name in argument.removeprefix("model=").split(","):
                if name not in known:
                    close = difflib.get_close_matches(name, known, n=3) or known
                    raise PkvError(f"unknown model '{name}'", f"choose for example {', '.join(close[:8])}")


def entry(config_name: str, schema: type[S]) -> Callable[[Callable[[S], Any]], Callable[[], None]]:
    """Decorate an experiment's main function; bad input ends in one line on stderr and exit code 2."""

    def decorate(experiment: Callable[[S], Any]) -> Callable[[], None]:
        @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)
        def task(config: DictConfig) -> None:
            try:
                settings = validate(schema, config)
                if settings.threads:
                    torch.set_num_threads(settings.threads)
                experiment(settings)
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
                task()
            except PkvError as error:
                sys.exit(_fail(str(error)))
            except (HydraException, OmegaConfBaseException) as error:
                lines = [line.strip() for line in str(error).splitlines() if line.strip()]
                sys.exit(_fail(f"{' '.join(lines[:2])}; see configs/{config_name}.yaml for the keys"))
            except KeyboardInterrupt:
                sys.exit(_fail("interrupted; run the same command again and it continues", 130))

        return run

    return decorate


def _fail(line: str, code: int = 2) -> int:
    sys.stderr.write(f"error: {line}\n")
    return code
