"""The launchers that a sweep may be handed to, checked before anything is composed."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

from pkv_interp.errors import PkvError, short, suggestion
from pkv_interp.run.sweep import BASIC

_KEY = "hydra/launcher"


@dataclass(frozen=True)
class Launcher:
    """What a launcher needs.

    Attributes:
        modules: that must be there; the plugin's own first.
        install: the command that brings them.
    """

    modules: tuple[str, ...]
    install: str


_SUBMITIT = Launcher(
    ("hydra_plugins.hydra_submitit_launcher", "submitit"), "pip install -e '.[submitit]' from the checkout"
)
_RAY = Launcher(
    ("hydra_plugins.hydra_ray_launcher", "ray"),
    "pip install -e '.[ray]' from the checkout, then pip install --no-deps hydra-ray-launcher==1.2.2",
)
#: By the names of the files under configs/hydra/launcher.
LAUNCHERS = {"submitit_local": _SUBMITIT, "submitit_slurm": _SUBMITIT, "ray": _RAY}


def check_launcher(arguments: Iterable[str]) -> None:
    """Refuse a launcher that could not be used.

    Args:
        arguments: all of a command line.

    Raises:
        PkvError: there is none of that name, its package is not installed, or nothing is swept, so that Hydra
            would pass over it in silence.
    """
    words = list(arguments)
    for word in words:
        key, equals, name = word.partition("=")
        if key.lstrip("+") != _KEY or not equals or name == BASIC:
            continue
        launcher = LAUNCHERS.get(name)
        if launcher is None:
            raise PkvError(f"unknown launcher {short(name)}", suggestion(name, [BASIC, *LAUNCHERS]))
        missing = [module for module in launcher.modules if not _there(module)]
        if missing:
            raise PkvError(f"{_KEY}={name} needs {missing[0].rpartition('.')[2]}", launcher.install)
        if not {"--multirun", "-m"} & set(words):
            raise PkvError(f"{_KEY}={name} is for sweeps, and this is one run", "add --multirun")


def _there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is what it would be in
        return False
