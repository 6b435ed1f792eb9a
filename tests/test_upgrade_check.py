"""The report on newer packages, from what pytest writes."""

from __future__ import annotations

from pathlib import Path

from tests.upgrade_check import FIRST, Failure, Outcome, read_outcome, report

ROOT = Path(__file__).parent.parent
OLD = {"torch": "2.13.0", "transformers": "5.23.0", "nnsight": "0.8.1"}
NEW = OLD | {"transformers": "5.30.0"}
XML = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="1" tests="5">
<testcase classname="tests.cache.test_frozen" name="test_a" time="0.1" />
<testcase classname="tests.cache.test_frozen" name="test_b[x]"><skipped message="no GPU" /></testcase>
<testcase classname="tests.test_decode" name="test_c">
<failure message="AttributeError: no 'layers'&#10;more">trace</failure></testcase>
<testcase classname="tests.test_decode" name="test_d">
<failure message="AttributeError: no 'layers'&#10;other">trace</failure></testcase>
<testcase classname="" name="tests.models.test_load"><error message="">ImportError: gone
trace</error></testcase>
</testsuite></testsuites>
"""


def written(folder: Path, text: str) -> Path:
    (folder / "junit.xml").write_text(text)
    return folder / "junit.xml"


def test_failures_are_read_with_their_reasons(tmp_path: Path) -> None:
    assert read_outcome(written(tmp_path, XML)) == Outcome(
        ran=5,
        skipped=1,
        failures=(
            Failure("tests.test_decode::test_c", "AttributeError: no 'layers'"),
            Failure("tests.test_decode::test_d", "AttributeError: no 'layers'"),
            Failure("tests.models.test_load", "ImportError: gone"),
        ),
    )


def test_the_report_says_what_is_new_and_what_broke(tmp_path: Path) -> None:
    lines, code = report(OLD, NEW, [read_outcome(written(tmp_path, XML))])
    assert code == 1
    assert lines == [
        "torch 2.13.0 -> 2.13.0",
        "transformers 5.23.0 -> 5.30.0",
        "nnsight 0.8.1 -> 0.8.1",
        "2 x AttributeError: no 'layers'",
        "    tests.test_decode::test_c",
        "    tests.test_decode::test_d",
        "1 x ImportError: gone",
        "    tests.models.test_load",
        "5 tests, 1 skipped, 3 failed",
    ]


def test_a_suite_that_did_not_run_is_no_success(tmp_path: Path) -> None:
    whole = Outcome(10, 0, ())
    assert report(OLD, NEW, [whole])[1] == 0
    for broken in (read_outcome(tmp_path / "absent.xml"), read_outcome(written(tmp_path, "<testsuites>"))):
        assert broken == Outcome(0, 0, ())
        assert report(OLD, NEW, [whole, broken])[1] == 2
    assert report(OLD, NEW, [])[1] == 2
    assert "nothing newer than what the constraints name" in report(OLD, OLD, [whole])[0]


def test_what_is_run_first_is_there() -> None:
    assert all((ROOT / place).exists() for place in FIRST)
