"""Two lanes. Light work answers at once; heavy work queues for one worker and can be stopped.

    button.click(lanes.checked(fn), inputs, outputs, **lanes.LIGHT)      # at once, never queued
    run = go.click(lanes.heavy(60)(steps), inputs, player, **lanes.HEAVY)   # a generator, queued
    stop.click(None, cancels=[run])                                      # closes the generator
    gr.api(lanes.checked(decode), api_name="decode", queue=False)
    LivePicture(lanes.live(draw), ...)                                   # done by the component

Each of the three wrappers turns `BadInput` into words for the visitor, and any other failure
into a sentence with a job number whose traceback is in the log.
"""

import contextvars
import functools
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from diffuser.ui.gate import BadInput

log = logging.getLogger("diffuser")

HEAVY = {"concurrency_id": "heavy", "concurrency_limit": 1}
LIGHT = {"queue": False, "show_progress": "hidden"}
QUEUE = {"max_size": 24, "default_concurrency_limit": 1}
_light_slots = threading.BoundedSemaphore(2)  # more would only make every picture later
LIGHT_WAIT = 60.0  # seconds; the first picture also waits for the libraries to be imported


class TooLate(RuntimeError):
    """A job passed its deadline."""


def in_words(error: Exception) -> str:
    """The one place where an exception becomes a sentence on the page."""
    if isinstance(error, BadInput | TooLate):
        return str(error)
    if isinstance(error, gr.Error):
        return str(error.message)
    job = secrets.token_hex(4)
    log.error("job %s failed", job, exc_info=error)
    short = isinstance(error, MemoryError) or "memory" in str(error).lower()
    if short or type(error).__name__ == "OutOfMemoryError":
        return f"Not enough memory for this (job {job}); try fewer or smaller pictures."
    return f"This did not work (job {job}); your settings are kept, please try again."


@contextmanager
def _as_gradio_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise gr.Error(in_words(error), print_exception=False) from None


@contextmanager
def _light() -> Iterator[None]:
    if not _light_slots.acquire(timeout=LIGHT_WAIT):
        raise TooLate("The server is busy; please try again in a moment.")
    try:
        yield
    finally:
        _light_slots.release()


def checked(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A light event or endpoint: at most two at a time, errors in words."""

    @functools.wraps(fn)
    def call(*args: Any) -> Any:
        with _as_gradio_error(), _light():
            return fn(*args)

    return call


def live(fn: Callable[[Any], dict]) -> Callable[[Any], dict]:
    """A server function, JSON in and out: as `checked`, but errors come back as {"error": ...}."""

    @functools.wraps(fn)
    def call(args: Any) -> dict:
        try:
            with _light():
                return fn(args if isinstance(args, dict) else {})
        except Exception as error:
            return {"error": in_words(error)}

    return call


def heavy(seconds: float = 120.0) -> Callable[[Callable], Callable]:
    """A generator as a queued job: stopped between steps by `cancels=`, a closed tab or time.

    `seconds` is the deadline. Each step runs in a thread of the job, so even a step that hangs
    is abandoned then and the queue goes on.
    """

    def wrap(fn: Callable[..., Iterator]) -> Callable[..., Iterator]:
        @functools.wraps(fn)
        def job(*args: Any) -> Iterator:
            with _as_gradio_error():
                yield from _paced(fn(*args), seconds)

        return job

    return wrap


def _paced(steps: Iterator, seconds: float) -> Iterator:
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
    made: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    deadline = time.monotonic() + seconds

    def work() -> None:
        try:
            while asked.get():
                made.put((next(steps), None))
        except BaseException as error:  # handed to the waiting side, StopIteration too
            made.put((None, error))
        finally:
            steps.close()

    # The visitor's request travels in context variables; ZeroGPU reads it.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), daemon=True).start()
    try:
        while True:
            asked.put(True)
            try:
                item, error = made.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TooLate(
                    f"Stopped after {seconds:g} s, the limit for one job; take fewer steps."
                ) from None
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        asked.put(False)


def gpu(seconds: int = 30) -> Callable[[Callable], Callable]:
    """`spaces.GPU` on a ZeroGPU Space, nothing elsewhere. Innermost, and never on async code."""
    try:
        import spaces
    except ImportError:
        return lambda fn: fn
    return spaces.GPU(duration=seconds)


def refuse_early(endpoint: gr.events.Dependency, validator: Callable[..., list[dict]]) -> None:
    """Gives an endpoint of `gr.api` the validator that other events take as an argument.

    It gets the endpoint's values and returns a `gr.validate` for each, before the queue.
    """
    gr.context.Context.root_block.fns[endpoint["id"]].validator = validator
