"""A state as a short string for an address: JSON without what is the default, compressed, in base64."""

import base64
import binascii
import json
import zlib

from experiments.explore.state import State, state_of
from pkv_interp.errors import PkvError

#: Of an address that a server and a browser take, and of what it may unpack to.
LONGEST, LARGEST = 16_000, 200_000
_DAMAGED = "this permalink is damaged"
_HINT = "copy the whole of it, or begin with a scenario"


def pack(state: State) -> str:
    """The string, of letters, digits, ``-`` and ``_``."""
    plain = state.model_dump(mode="json", exclude_defaults=True)
    # Which kind of prompt it is tells how the rest of it is read, default or not.
    plain["source"] = {"kind": state.source.kind, **plain.get("source", {})}
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def unpack(link: str) -> State:
    """The state of a string.

    Raises:
        PkvError: it is no such string, or too long a one.
    """
    if len(link) > LONGEST:
        raise PkvError(f"{_DAMAGED}: it has {len(link)} characters", _HINT)
    try:
        packed = base64.b64decode(link + "=" * (-len(link) % 4), altchars=b"-_", validate=True)
        reader = zlib.decompressobj()
        text = reader.decompress(packed, LARGEST)
        # Some bytes of a link can be made to unpack to more than a machine holds.
        if reader.unconsumed_tail or not reader.eof:
            raise PkvError(f"{_DAMAGED}: it is cut, or too long", _HINT)
        values = json.loads(text)
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        raise PkvError(_DAMAGED, _HINT) from error
    return state_of(values, "the permalink")
