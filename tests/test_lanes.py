"""Errors in words, steps that can be stopped, deadlines that hold."""

import time
from collections.abc import Iterator

import gradio as gr
import pytest

from diffuser.ui import lanes
from diffuser.ui.gate import BadInput


def test_errors_become_words() -> None:
    def bad(_: object) -> dict:
        raise BadInput("steps must be a whole number from 1 to 1000.")

    def broken(_: object) -> dict:
        raise KeyError("/secret/path")

    assert lanes.live(bad)({}) == {"error": "steps must be a whole number from 1 to 1000."}
    assert "/secret" not in lanes.live(broken)({})["error"]
    with pytest.raises(gr.Error, match="from 1 to 1000"):
        lanes.checked(bad)({})
    with pytest.raises(gr.Error, match="job"):
        lanes.checked(broken)({})
    assert "memory" in lanes.in_words(MemoryError())


def test_server_functions_always_get_a_dictionary() -> None:
    assert lanes.live(lambda args: args)([1, 2]) == {}


def test_heavy_yields_every_step_and_passes_errors_on() -> None:
    @lanes.heavy(5)
    def count(n: int) -> Iterator[int]:
        yield from range(n)
        if n == 3:
            raise BadInput("three is refused.")

    assert list(count(200)) == list(range(200))
    with pytest.raises(gr.Error, match="three"):
        list(count(3))


def test_closing_stops_the_job_within_a_step() -> None:
    closed = []

    @lanes.heavy(5)
    def forever() -> Iterator[int]:
        try:
            while True:
                time.sleep(0.01)
                yield 1
        finally:
            closed.append(time.monotonic())

    job = forever()
    next(job)
    job.close()
    time.sleep(0.2)
    assert closed


def test_a_hanging_step_ends_at_the_deadline() -> None:
    @lanes.heavy(0.2)
    def hang() -> Iterator[int]:
        yield 1
        time.sleep(2)
        yield 2

    start = time.monotonic()
    with pytest.raises(gr.Error, match="limit"):
        list(hang())
    assert time.monotonic() - start < 1
