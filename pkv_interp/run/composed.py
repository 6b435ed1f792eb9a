"""From a composed configuration to checked settings."""

from collections.abc import Mapping
from typing import TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pkv_interp.errors import PkvError
from pkv_interp.run.settings import CommandSettings, checked

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
    assert isinstance(values, Mapping)
    return checked(schema, {str(key): value for key, value in values.items()})
