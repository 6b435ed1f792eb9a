"""What the code of each packaged layout says, run by Python, a YAML reader or SQLite."""

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import redirect_stdout

import yaml

from pkv_interp.tasks import default_scenarios


def printed(source: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        exec(source, {})
    return out.getvalue().strip()


def in_prompt(text: str) -> str:
    """What a Python prompt prints after these lines."""
    lines = [line[4:] for line in text.splitlines() if line.startswith((">>> ", "..."))]
    # The last line is what is asked; one before it may be an expression, of which nothing is printed here.
    return printed("\n".join(lines))


def in_chat(text: str) -> str:
    return printed(text.split("```python\n")[1].split("```")[0])


def in_yaml(text: str) -> str:
    read = yaml.safe_load(text)
    (key,) = set(read) - {"decide", "action", *default_scenarios().bystanders}
    return read["decide"].get(read[key], read["decide"].get("default"))


def in_json(text: str) -> str:
    read = json.loads("\n".join(line for line in text.splitlines() if "//" not in line) + '"}')
    (key,) = set(read) - {"decide", "action"}
    return read["decide"][read[key]]


def in_sql(text: str) -> str:
    data = sqlite3.connect(":memory:")
    column = text.split("SET ")[1].split()[0]
    data.execute(f"CREATE TABLE records ({column} TEXT)")
    data.execute("INSERT INTO records VALUES ('')")
    update, select = (line for line in text.splitlines() if line.startswith(("UPDATE", "SELECT")))
    data.execute(update)
    return data.execute(select).fetchone()[0]


def in_sql_view(text: str) -> str:
    data = sqlite3.connect(":memory:")
    column = text.split("SET ")[1].split()[0]
    data.execute(f"CREATE TABLE records ({column} TEXT)")
    data.execute("INSERT INTO records VALUES ('')")
    body, asked = text.split("SELECT action")
    data.executescript(body)
    return data.execute("SELECT action" + asked).fetchone()[0]


RUN: dict[str, Callable[[str], str]] = {
    "python_script": printed,
    "python_script_late": printed,
    "python_prompt": in_prompt,
    "python_prompt_late": in_prompt,
    "python_match_script": printed,
    "python_match_script_late": printed,
    "python_chat_lean": in_chat,
    "python_chat_lean_late": in_chat,
    "yaml_lean": in_yaml,
    "yaml_lean_late": in_yaml,
    "json_lean": in_json,
    "json_lean_late": in_json,
    "sql_view": in_sql_view,
    "sql_view_late": in_sql_view,
    "python_dict": in_prompt,
    "python_default": in_prompt,
    "python_match": in_prompt,
    "python_chat": in_chat,
    "yaml": in_yaml,
    "yaml_default": in_yaml,
    "json": in_json,
    "sql": in_sql,
}
