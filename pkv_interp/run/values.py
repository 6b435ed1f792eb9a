"""Kinds of values that settings take, each with its bounds: what is out of them is refused at once."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from pkv_interp.errors import PkvError
from pkv_interp.paths import expanded
from pkv_interp.plain import LONGEST_LIST

N = TypeVar("N", bound=Sequence[Any])


def _place(value: Any) -> Any:
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError("give a path as text; quote it where it is a number")
    return value


def _expanded(place: Path) -> Path:
    """The path with ``~`` filled in.

    Raises:
        ValueError: there is no such user, or a file stands where a folder would have to.
    """
    try:
        place = expanded(place)
        for part in (place, *place.parents):
            if part.is_dir():
                break
            if part.exists():
                raise ValueError(f"{part} is a file, and a folder is needed")
    except PkvError as error:
        raise ValueError(error.cause) from error
    except OSError as error:
        raise ValueError(f"{str(place)[:60]} cannot be a folder: {error.strerror}") from error
    return place


#: A folder that is there or can be made.
Folder = Annotated[Path, BeforeValidator(_place), AfterValidator(_expanded)]

#: Seed of everything random: what numpy, torch and scikit-learn all take.
Seed = Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]
#: Torch threads; `machine.check_threads` says what is too many on the machine at hand.
Threads = Annotated[int, Field(strict=True, ge=1, le=1024)]
#: MiB; the upper bound is 16 TiB.
Megabytes = Annotated[float, Field(strict=True, gt=0.0, le=2.0**24)]
#: Cases, instances, families and other things of which every one costs a forward or more.
Count = Annotated[int, Field(strict=True, ge=1, le=10_000)]
CountOrNone = Annotated[int, Field(strict=True, ge=0, le=10_000)]
#: Tokens of a text.
Tokens = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
TokensOrNone = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
#: Neutral sentences in a prompt, about 14 tokens each.
Fillers = Annotated[int, Field(strict=True, ge=0, le=10_000)]
#: Steps of an optimiser.
Steps = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
#: Bootstrap draws; below 100 intervals are unreliable.
Draws = Annotated[int, Field(strict=True, ge=100, le=1_000_000)]
#: Yes or no, and not 1 or "on".
Switch = Annotated[bool, Field(strict=True)]
#: Accuracy that both sides of a task must reach before a figure about a mechanism is stated.
Threshold = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
#: A part of a whole, more than nothing.
Share = Annotated[float, Field(strict=True, gt=0.0, le=1.0)]
#: A part of a whole, or nothing.
ShareOrNone = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
#: The name of something, in one short line.
Name = Annotated[str, Field(min_length=1, max_length=200)]


def rising(values: N) -> N:
    """Refuse an empty list, and one that does not rise.

    Raises:
        ValueError: as pydantic wants it.
    """
    if not values or any(a >= b for a, b in pairwise(values)):
        raise ValueError("give at least one, each once and in rising order")
    return values


def each_once(values: N) -> N:
    """Refuse an empty list, and one that names something twice.

    Raises:
        ValueError: as pydantic wants it.
    """
    if not values or len(set(values)) < len(values):
        raise ValueError("the list is empty or names something twice")
    return values


def at_least_two(values: N) -> N:
    """Refuse a list of one: an exponent is fitted.

    Raises:
        ValueError: as pydantic wants it.
    """
    if len(values) < 2:
        raise ValueError("give at least two lengths: an exponent is fitted")
    return values


_SOME = Field(max_length=LONGEST_LIST)
#: Sizes of sets, rising.
Sizes = Annotated[tuple[Tokens, ...], _SOME, AfterValidator(rising)]
#: Numbers of neutral sentences, rising.
FillerCounts = Annotated[tuple[Fillers, ...], _SOME, AfterValidator(rising)]
#: Parts of a whole, rising.
Shares = Annotated[tuple[Share, ...], _SOME, AfterValidator(rising)]
#: Numbers of tokens, rising, that an exponent is fitted over.
Lengths = Annotated[Sizes, AfterValidator(at_least_two)]
#: Names of something, in short lines.
AnyNames = Annotated[tuple[Name, ...], _SOME]
#: Names, each once.
Names = Annotated[tuple[Name, ...], _SOME, AfterValidator(each_once)]
