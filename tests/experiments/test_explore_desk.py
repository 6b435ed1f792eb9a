"""The thread that runs the model: once for each question, in order, and a failure is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from experiments.explore.desk import Desk, Failed, Ready, Report, Running
from pkv_interp.errors import PkvError

#: Seconds within which a thread that has nothing else to do answers on any machine.
SOON = 60.0


def held(begun: threading.Event, go_on: threading.Event) -> Callable[[Report], str]:
    """Work that tells when it began, and reports only once it may go on."""

    def long(report: Report) -> str:
        begun.set()
        assert go_on.wait(SOON)
        report(1, 2)
        return "long"

    return long


def test_a_question_that_is_asked_twice_is_computed_once() -> None:
    desk, calls = Desk(), []

    def work(_: Report) -> int:
        calls.append(1)
        return 7

    first, second = desk.ask("a", work, SOON), desk.ask("a", work, SOON)
    assert isinstance(first, Ready)
    assert isinstance(second, Ready)
    assert (first.value, second.value, len(calls), desk.kept("a"), desk.kept("b")) == (7, 7, 1, 7, None)


def test_bad_input_and_a_surprise_are_both_told_and_the_thread_goes_on() -> None:
    desk = Desk()

    def refuse(_: Report) -> int:
        raise PkvError("the word is none", "choose another")

    def break_down(_: Report) -> int:
        raise ZeroDivisionError("by zero")

    assert desk.ask("a", refuse, SOON) == Failed("the word is none; choose another")
    broken = desk.ask("b", break_down, SOON)
    assert isinstance(broken, Failed)
    assert "ZeroDivisionError: by zero" in broken.line
    assert isinstance(desk.ask("c", lambda _: 1, SOON), Ready)


def test_work_says_how_far_it_is() -> None:
    desk, begun, go_on = Desk(), threading.Event(), threading.Event()

    def work(report: Report) -> str:
        report(3, 12)
        begun.set()
        assert go_on.wait(SOON)
        return "done"

    desk.ask("a", work)
    assert begun.wait(SOON)
    now = desk.ask("a", work)
    assert isinstance(now, Running)
    assert (now.done, now.total, now.share) == (3, 12, 0.25)
    go_on.set()
    assert isinstance(desk.ask("a", work, SOON), Ready)


def test_what_nobody_asks_after_gives_way_and_can_be_asked_again() -> None:
    desk, begun, go_on = Desk(patience=0.0), threading.Event(), threading.Event()
    long = held(begun, go_on)
    desk.ask("long", long)
    assert begun.wait(SOON)
    desk.ask("short", lambda _: "short")
    go_on.set()
    short = desk.ask("short", lambda _: "short", SOON)
    assert isinstance(short, Ready)
    assert desk.kept("long") is None  # it stopped at its report, half way
    again = desk.ask("long", long, SOON)
    assert isinstance(again, Ready)


def test_what_somebody_waits_for_does_not_give_way() -> None:
    """A record waits for its words in one question, for longer than a page is quiet between two."""
    desk, begun, go_on = Desk(patience=0.0), threading.Event(), threading.Event()
    long = held(begun, go_on)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(desk.ask, "long", long, SOON)
        assert begun.wait(SOON)
        desk.ask("short", lambda _: "short")
        go_on.set()
        assert isinstance(waiting.result(SOON), Ready)
