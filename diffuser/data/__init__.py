"""The data: handwritten digits, clothes, emoji with captions, and the text encoder for them."""

from collections.abc import Iterator, Sequence

from . import emoji
from .digits import digits, prepare_digits, shipped_digits
from .emoji_art import prepare_emoji
from .fashion import fashion, prepare_fashion
from .fetch import DataError, Progress, cache_dir, show
from .teacher import prepare_teacher, teacher

NAMES = ("digits", "fashion", "emoji", "teacher")
__all__ = [
    "NAMES",
    "DataError",
    "Progress",
    "cache_dir",
    "digits",
    "emoji",
    "fashion",
    "prepare",
    "shipped_digits",
    "show",
    "teacher",
]


def prepare(names: Sequence[str] = NAMES) -> Iterator[Progress]:
    """Fetch, check and cache the named data sets; what is there already is left as it is."""
    steps = {
        "digits": prepare_digits,
        "fashion": prepare_fashion,
        "emoji": prepare_emoji,
        "teacher": prepare_teacher,
    }
    if unknown := set(names) - set(steps):
        raise ValueError(f"no data called {sorted(unknown)}; there is {', '.join(NAMES)}")
    for name in names:
        yield from steps[name]()
