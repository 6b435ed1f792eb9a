"""Records of an older schema in the form of the present one."""

from typing import Any

#: Schemas that can be read; the present one stands in `schema.SCHEMA_VERSION`.
READABLE = (1,)


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """A record of schema 1 as one of schema 2: without keys and measurements, which it never had.

    Its headlines have no words of their own, and its code version covers all sources at once, so that it
    cannot be told whether anything that it rests on has changed: such a record counts as stale.
    """
    if document.get("schema_version") != 1:
        return document
    environment = document.get("environment", {})
    if isinstance(environment, dict):  # what else it may be, the schema refuses
        environment = {k: v for k, v in environment.items() if k != "code_version"}
    return document | {"schema_version": 2, "environment": environment}
