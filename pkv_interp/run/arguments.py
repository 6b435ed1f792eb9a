"""What stands on a command line, checked before Hydra reads it, so that a wrong word gives one clear line."""

import contextlib
import io
import shlex
from collections.abc import Iterable, Sequence
from typing import get_origin

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from pydantic import BaseModel

from pkv_interp.errors import PkvError, short, suggestion
from pkv_interp.models.catalogue import CATALOGUE, ModelConfig, catalogue_names

CONFIGS = CATALOGUE.parent


def checked_arguments(schema: type[BaseModel], arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra takes them.

    Keys inside the model and inside mappings are set whether the file writes them down or not, so nobody has
    to know where Hydra wants a plus, and a path that begins with ``~`` needs no quotes.

    Args:
        schema: class of the command's settings.
        arguments: all of them, options included.

    Raises:
        PkvError: an option or a key is unknown, a value cannot be read, or there are several values for one
            key and no ``--multirun``.
    """
    overrides, multirun = _options(arguments)
    rewritten = {argument: _checked(schema, argument, multirun) for argument in overrides}
    return [rewritten.get(argument, argument) for argument in arguments]


def _options(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Arguments that are no options, and whether several runs are asked for."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            found, unknown = get_args_parser().parse_known_args(list(arguments))
    except SystemExit as stop:
        if not stop.code:  # --version
            raise
        cause = told.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise PkvError(cause, "--help lists the options") from None
    stray = [word for word in unknown if word.startswith("-")]
    if stray:
        bare = stray[0].lstrip("-")
        hint = f"write {bare if '=' in bare else bare + '=...'} for a setting; --help lists the options"
        raise PkvError(f"there is no option {short(stray[0])[1:-1]}", hint)
    return [*found.overrides, *unknown], bool(found.multirun)


def _checked(schema: type[BaseModel], argument: str, multirun: bool) -> str:
    key, equals, value = argument.partition("=")
    if equals and value.startswith("~"):
        argument = f"{key}={_quoted(value)}"
    try:
        parsed = OverridesParser.create().parse_override(argument)
    except HydraException as error:
        raise _unreadable(argument) from error
    if parsed.is_sweep_override() and not multirun:
        hint = f"quote the value: {_example(key, value)}; or add --multirun to run each"
        raise PkvError(f"{short(argument)} has several values", hint)
    if parsed.key_or_group == "model" and parsed.package is None:
        _check_model_names(parsed, value)
    return _with_plus(schema, parsed, argument)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _example(key: str, value: str) -> str:
    return shlex.quote(f"{key}={_quoted(value)}")


def _unreadable(argument: str) -> PkvError:
    key, equals, value = argument.partition("=")
    if not equals:
        return PkvError(f"{short(argument)} is no key=value", "write for example seed=1")
    quoted = f"{key}={_quoted(value)}"
    try:
        OverridesParser.create().parse_override(quoted)
    except HydraException:
        return PkvError(f"{short(argument)} cannot be read", "write key=value, with no spaces before the =")
    return PkvError(f"the value of {short(argument)} cannot be read", f"quote it: {_example(key, value)}")


def _check_model_names(parsed: Override, value: str) -> None:
    if parsed.value_type in (ValueType.GLOB_CHOICE_SWEEP, ValueType.RANGE_SWEEP):
        return
    for name in value.removeprefix("choice(").rstrip(")").split(","):
        if (bare := name.strip(" '\"")) not in catalogue_names():
            raise PkvError(f"unknown model '{short(bare)[1:-1]}'", suggestion(bare, catalogue_names()))


def _with_plus(schema: type[BaseModel], parsed: Override, argument: str) -> str:
    """The argument, its key known; with ``++`` where the file may not write the key down."""
    key = parsed.key_or_group
    root, dot, inner = key.partition(".")
    groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    if root == "hydra" or "/" in key or (key in groups and not dot):
        return argument
    if root not in schema.model_fields:
        raise _unknown(key, schema.model_fields)
    if not dot:
        return argument
    if root == "model":
        if inner not in ModelConfig.model_fields:
            raise _unknown(key, [f"model.{name}" for name in ModelConfig.model_fields])
    elif get_origin(schema.model_fields[root].annotation) is not dict:
        raise PkvError(f"'{root}' has no keys inside, so there is no {short(key)}", f"write {root}=...")
    return argument if argument.startswith(("~", "++")) else f"++{argument.removeprefix('+')}"


def _unknown(key: str, known: Iterable[str]) -> PkvError:
    return PkvError(f"unknown config key '{short(key)[1:-1]}'", suggestion(key, known))
