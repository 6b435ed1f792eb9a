"""The explorer's command line: what is wrong is one line, before a model loads."""

from __future__ import annotations

import sys

import pytest

from tests import runs


def test_without_dash_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "dash", None)
    for name in [
        name for name in sys.modules if name.startswith("experiments.explore.") and "settings" not in name
    ]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit) as ended:
        runs.inside("explore", "model=tiny-llama", "port=0")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "the explorer needs Dash; pip install -e '.[explore]'" in told


@pytest.mark.parametrize(
    ("argument", "told"),
    [("port=70000", "config key 'port'"), ("model=nothing", "nothing"), ("host=0.0.0.0", "host")],
)
def test_a_wrong_setting_is_one_line(argument: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        runs.inside("explore", argument)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
