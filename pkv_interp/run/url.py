"""The address of a server that somebody else runs, as a setting."""

from typing import Annotated

import httpx
from pydantic import AfterValidator, Field


def _parsed(url: str) -> str:
    """The url, as the client will read it."""
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"no url of a server: {error}") from error
    if not read.host or not 0 < (80 if read.port is None else read.port) < 2**16:
        raise ValueError("no url of a server: it needs a host, and a port up to 65535 where it has one")
    return url


Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=500), AfterValidator(_parsed)]
