"""What stands on a command line, checked before Hydra reads it, so that a wrong word gives one clear line."""

import contextlib
import io
import shlex
from argparse import Namespace
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ValueType
from hydra.errors import HydraException
from pydantic import BaseModel

from pkv_interp.errors import PkvError, short, suggestion
from pkv_interp.models.catalogue import CATALOGUE, ModelConfig, catalogue_names

CONFIGS = CATALOGUE.parent
#: What opens a list of values, of which each is a run.
_SEVERAL = ("choice(", "range(", "interval(", "glob(")


def checked_arguments(schema: type[BaseModel], arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra takes them.

    Keys inside the model and inside mappings are set whether the file writes them down or not, so nobody has
    to know where Hydra wants a plus, and a path that begins with ``~`` needs no quotes.

    Args:
        schema: class of the command's settings.
        arguments: all of them, options included.

    Raises:
        PkvError: an option or a key is unknown, a key is given twice, a value cannot be read, or there
            are several values for one key and no ``--multirun``.
    """
    overrides, options, multirun = _options(arguments)
    _refuse_twice(overrides)
    # Hydra takes options in front of or after all settings, and none between them.
    return [*(_checked(schema, argument, multirun) for argument in overrides), *options]


def _options(arguments: Sequence[str]) -> tuple[list[str], list[str], bool]:
    """Arguments that are no options, those that are, and whether several runs are asked for."""
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
    _refuse_options(found)
    overrides = [*found.overrides, *unknown]
    options = list(arguments)
    for override in overrides:
        options.remove(override)
    return overrides, options, bool(found.multirun)


def _refuse_options(found: Namespace) -> None:
    """Options that do not go together, and those that would go round the check of settings."""
    if found.experimental_rerun is not None:
        hint = "run the same command again: what is finished is kept"
        raise PkvError("there is no option --experimental-rerun here", hint)
    if found.shell_completion:
        raise PkvError("there is no shell completion here", "--help lists the keys")
    asked = {"--run": found.run, "--multirun": found.multirun, "--cfg": found.cfg, "--info": found.info}
    given = [name for name, value in asked.items() if value]
    if len(given) > 1:
        raise PkvError(f"{' and '.join(given)} do not go together", f"leave out {given[0]}")
    if found.resolve and not (found.cfg or found.help):
        raise PkvError("--resolve is about --cfg", "write --cfg job --resolve")


def _refuse_twice(overrides: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for argument in overrides:
        key = argument.partition("=")[0].lstrip("+~").strip()
        if key in seen:
            cause = f"'{short(key)[1:-1]}' is given twice, {short(seen[key])} and {short(argument)}"
            raise PkvError(cause, "give it once")
        seen[key] = argument


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
    _refuse_no_runs(parsed, argument)
    return _with_plus(schema, parsed, argument)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _example(key: str, value: str) -> str:
    return shlex.quote(f"{key}={_quoted(value)}")


def _unreadable(argument: str) -> PkvError:
    key, equals, value = argument.partition("=")
    if not equals:
        return PkvError(f"{short(argument)} is no key=value", "write for example seed=1")
    for opening, closing in ("[]", "{}", "()"):
        starts = value.startswith(opening) or (opening == "(" and value.startswith(_SEVERAL))
        if starts and value.count(opening) > value.count(closing):
            cause = f"the value of {short(argument)} has no closing '{closing}'"
            return PkvError(cause, f"write {shlex.quote(argument + closing)}")
    quoted = f"{key}={_quoted(value)}"
    try:
        OverridesParser.create().parse_override(quoted)
    except HydraException:
        return PkvError(f"{short(argument)} cannot be read", "write key=value, with no spaces before the =")
    return PkvError(f"the value of {short(argument)} cannot be read", f"quote it: {_example(key, value)}")


def _refuse_no_runs(parsed: Override, argument: str) -> None:
    """Several values of which there is none: nothing would run, and nothing would be said."""
    if not parsed.is_sweep_override():
        return
    if parsed.value_type is ValueType.GLOB_CHOICE_SWEEP:
        if (CONFIGS / parsed.key_or_group).is_dir():
            return
        raise PkvError(f"{short(argument)} names no files", f"write {parsed.key_or_group}=a,b")
    if next(iter(parsed.sweep_iterator()), None) is None:
        raise PkvError(f"{short(argument)} has no value", "give at least one")


def _check_model_names(parsed: Override, value: str) -> None:
    if parsed.value_type is ValueType.GLOB_CHOICE_SWEEP:
        glob = parsed.value()
        if isinstance(glob, Glob) and not glob.filter(list(catalogue_names())):
            word = ", ".join(glob.include)
            raise PkvError(f"no model fits '{short(word)[1:-1]}'", suggestion(word, catalogue_names()))
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
    elif inside := _keys_inside(schema.model_fields[root].annotation):
        if inner not in inside:
            raise _unknown(key, [f"{root}.{name}" for name in inside])
    elif get_origin(schema.model_fields[root].annotation) is not dict:
        raise PkvError(f"'{root}' has no keys inside, so there is no {short(key)}", f"write {root}=...")
    return argument if argument.startswith(("~", "++")) else f"++{argument.removeprefix('+')}"


def _keys_inside(annotation: Any) -> list[str]:
    """Keys of a setting that is told by its kind, of all kinds; a file is named as a whole and has none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(annotation.model_fields) if "kind" in annotation.model_fields else []
    parts = get_args(annotation) if get_origin(annotation) in (Annotated, Union, UnionType) else ()
    return list(dict.fromkeys(key for each in parts for key in _keys_inside(each)))


def _unknown(key: str, known: Iterable[str]) -> PkvError:
    return PkvError(f"unknown config key '{short(key)[1:-1]}'", suggestion(key, known))
