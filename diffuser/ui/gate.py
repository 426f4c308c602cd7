"""The gate: every value that enters the program is checked here before any work begins.

Whatever arrives, by widget, HTTP, server function or file, passes one of these functions. They
return the clean value or raise `BadInput` with one sentence that names the allowed range.
Booleans, numbers written as text, NaN and infinities are refused, never guessed at.
"""

import base64
import binascii
import math
import random
import struct
import unicodedata
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps


class BadInput(ValueError):
    """One sentence for the visitor: what was wrong, what is allowed."""


@dataclass(frozen=True)
class Range:
    """A closed interval; `whole` means integers only."""

    low: float
    high: float
    whole: bool = False


RANGES = {
    "steps": Range(1, 1000, whole=True),
    "guidance": Range(-10, 50),
    "seed": Range(-1, 2**32 - 1, whole=True),
    "t": Range(0, 1),
    "eta": Range(0, 1),
    "strength": Range(0, 1),
    "pictures": Range(1, 9, whole=True),
    "label": Range(0, 9, whole=True),
    "digit": Range(0, 499, whole=True),
    "frames": Range(2, 33, whole=True),
    "temperature": Range(0, 2),
    "seconds": Range(5, 60, whole=True),
    "beta": Range(0, 10),
}
PROMPT_CHARACTERS = 2000
PICTURE_BYTES = 10_000_000
PICTURE_PIXELS = 16_000_000
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP")
EVALUATIONS = 20_000  # of a network, in one job
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # can disguise text


def number(name: str, value: object) -> float:
    """A number within `RANGES[name]`; an int where the range is of whole numbers."""
    r = RANGES[name]
    kind = "a whole number" if r.whole else "a number"
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    if not fine or not r.low <= value <= r.high or (r.whole and value != int(value)):
        raise BadInput(f"{name} must be {kind} from {r.low:g} to {r.high:.10g}.")
    return int(value) if r.whole else float(value)


def whole(name: str, value: object) -> int:
    """`number` for the names whose range is of whole numbers."""
    return int(number(name, value))


def seed(value: object) -> int:
    """A seed from 0 to 2**32 - 1; -1 draws one, so report back what this returns."""
    clean = whole("seed", value)
    return random.randrange(2**32) if clean == -1 else clean


def flag(name: str, value: object) -> bool:
    """True or False, nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise BadInput(f"{name} must be true or false.")
    return value


def choice(name: str, value: object, allowed: Collection[str]) -> str:
    """One of the allowed names."""
    if not isinstance(value, str) or value not in allowed:
        raise BadInput(f"{name} must be one of: {', '.join(allowed)}.")
    return value


def each(name: str, value: object, count: int) -> list[float]:
    """`count` numbers within `RANGES[name]`; one number counts for all."""
    values = value if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        raise BadInput(f"{name} must be one number, or {count} of them.")
    return [seed(v) if name == "seed" else number(name, v) for v in values]


def label(value: object) -> int | None:
    """A digit class 0..9, or None for no class."""
    return None if value is None else whole("label", value)


def vector(name: str, value: object, length: int, limit: float = 6.0) -> list[float]:
    """`length` finite numbers, each within +-limit."""
    fine = isinstance(value, list | tuple) and len(value) == length
    if fine:
        for v in value:
            fine = fine and isinstance(v, int | float) and not isinstance(v, bool)
            fine = fine and math.isfinite(v) and abs(v) <= limit
    if not fine:
        raise BadInput(f"{name} must be {length} numbers, each from -{limit:g} to {limit:g}.")
    return [float(v) for v in value]


def prompt(value: object, name: str = "The prompt") -> str:
    """Text of at most 2,000 characters: NFC, without control characters or lone surrogates.

    Empty text is allowed and means "no condition". Joined emoji and right-to-left text survive;
    the characters that override text direction do not.
    """
    if not isinstance(value, str):
        raise BadInput(f"{name} must be text.")
    if len(value) > PROMPT_CHARACTERS:
        raise BadInput(f"{name} may have at most {PROMPT_CHARACTERS} characters; shorten it.")
    text = "".join(" " if c in "\t\r\n\v\f" else c for c in unicodedata.normalize("NFC", value))
    kept = (c for c in text if unicodedata.category(c) not in ("Cc", "Cs") and c not in BIDI)
    return "".join(kept).strip()[:PROMPT_CHARACTERS]


def budget(pictures: int, steps: int, evaluations_per_step: int = 1) -> None:
    """Refuses a job whose fields are each allowed but whose total work is not."""
    work = pictures * steps * evaluations_per_step
    if work > EVALUATIONS:
        raise BadInput(
            f"That is {work:,} network evaluations and one job may use {EVALUATIONS:,}; "
            "take fewer pictures or fewer steps."
        )


def decoded(value: object, what: str = "The picture", limit: int = PICTURE_BYTES) -> bytes:
    """The bytes of base64 text, with or without a `data:` prefix."""
    if not isinstance(value, str):
        raise BadInput(f"{what} must be base64 text.")
    if len(value) > limit * 4 // 3 + 200:
        raise BadInput(f"{what} may have at most {limit:,} bytes; use a smaller one.")
    try:
        return base64.b64decode(value.split(",", 1)[-1], validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(f"{what} must be base64 text.") from None


def pixels(value: object, height: int = 28, width: int = 28, channels: int = 1) -> np.ndarray:
    """Raw pixels, one byte each, as base64 text -> uint8 (height, width, channels)."""
    count = height * width * channels
    raw = decoded(value, "The drawing", count)
    if len(raw) != count:
        raise BadInput(f"The drawing must have {height} x {width} x {channels} bytes.")
    return np.frombuffer(raw, np.uint8).reshape(height, width, channels)


def picture(data: bytes) -> Image.Image:
    """A PNG, JPEG or WEBP file -> a fresh RGB picture, upright, on white, without metadata.

    Its size is read from the header and refused above 16 megapixels before anything is decoded;
    of an animation only the first frame is read.
    """
    if not isinstance(data, bytes) or len(data) > PICTURE_BYTES:
        raise BadInput(f"A picture file may have at most {PICTURE_BYTES // 10**6} MB.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data), formats=PICTURE_FORMATS)
        if image.width * image.height > PICTURE_PIXELS:
            raise BadInput(
                f"That picture has {image.width} x {image.height} pixels; the most is "
                f"{PICTURE_PIXELS // 10**6} megapixels, so make it smaller."
            )
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grey: convert() would clip instead of scale
            deep = np.asarray(image, np.float64) / 257
            image = Image.fromarray(deep.clip(0, 255).round().astype(np.uint8))
        layer = image.convert("RGBA")
    except BadInput:
        raise
    except Image.DecompressionBombError:
        raise BadInput("That picture has too many pixels; the most is 16 megapixels.") from None
    except (OSError, ValueError, SyntaxError, struct.error, EOFError, KeyError, IndexError):
        raise BadInput("That is not a readable PNG, JPEG or WEBP picture; try another.") from None
    clean = Image.new("RGB", layer.size, "white")
    clean.paste(layer, mask=layer.getchannel("A"))
    return clean
