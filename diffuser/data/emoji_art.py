"""Draw the emoji once: every picture at 64 x 64 RGBA, copies left out, kept as one npz."""

import io
import json
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
from PIL import Image, ImageOps

from .emoji_join import SIZE, STYLES, sources
from .fetch import DataError, Progress, make_cache_dir, save_arrays

SAME_RMS = 2.0  # of 255, between two pictures reduced to 16 x 16: closer ones are one drawing
HUE_ENDS = [15, 38, 68, 160, 192, 252, 305, 345]  # degrees
HUES = ["red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink", "red"]


def draw(source: bytes | str) -> np.ndarray:
    """One picture, uint8 (SIZE, SIZE, 4), from SVG text or the bytes of a WebP."""
    if isinstance(source, str):
        import resvg_py

        source = bytes(resvg_py.svg_to_bytes(svg_string=source, width=2 * SIZE, height=2 * SIZE))
    image = Image.open(io.BytesIO(source)).convert("RGBA")
    # Pillow averages RGBA weighted by opacity, so edges take no colour from what is transparent.
    return np.asarray(ImageOps.pad(image, (SIZE, SIZE), Image.Resampling.BOX))


def duplicates(images: np.ndarray, concept: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Mask of pictures that repeat an earlier one: same concept in two styles, or same style twice.

    A copy in another style would leak a held-out pair into training; two concepts with one drawing
    would teach the model that names mean nothing.
    """
    white = images[..., :3] * (images[..., 3:] / 255.0) + 255.0 - images[..., 3:]
    small = white.reshape(len(images), 16, 4, 16, 4, 3).mean((2, 4)).reshape(len(images), -1)
    repeated = np.zeros(len(images), bool)
    for ids in (concept, style):
        for value in np.unique(ids):
            where = np.flatnonzero(ids == value)
            x = small[where]
            square = (x**2).sum(1)
            mse = (square[:, None] + square - 2 * x @ x.T).clip(0) / x.shape[1]
            for j in range(1, len(where)):
                earlier = mse[j, :j][~repeated[where[:j]]]
                repeated[where[j]] |= bool((earlier < SAME_RMS**2).any())
    return repeated


def prepare_emoji() -> Iterator[Progress]:
    """Fetch nine packages (32 MB), draw every picture on one core (about two minutes), cache."""
    path = make_cache_dir() / "emoji.npz"
    if path.exists():
        yield Progress("emoji", 1, 1, str(path))
        return
    if find_spec("resvg_py") is None:
        raise DataError("drawing the emoji needs a renderer: pip install resvg_py==0.5.0")
    yield Progress("emoji", 0, 1, "fetching nine packages, 32 MB")
    concepts, pictures = sources()
    images = np.empty((len(pictures), SIZE, SIZE, 4), np.uint8)
    for i, (_, _, source) in enumerate(pictures):
        if i % 50 == 0:
            yield Progress("emoji", i, len(pictures), "drawing")
        images[i] = draw(source)
    concept = np.array([c for c, _, _ in pictures], np.int16)
    style = np.array([s for _, s, _ in pictures], np.int16)
    keep = ~duplicates(images, concept, style)
    used, concept = np.unique(concept[keep], return_inverse=True)
    save_arrays(
        path,
        images=images[keep],
        concept=concept.astype(np.int16),
        style=style[keep],
        colour=np.array([colour_word(image) for image in images[keep]]),
        concepts=np.array(json.dumps([concepts[i] for i in used])),
        styles=np.array(list(STYLES)),
    )
    yield Progress("emoji", len(pictures), len(pictures), str(path))


def colour_word(rgba: np.ndarray) -> str:
    """The one ordinary word for the picture's colour, or "" where it has no clear one.

    Opaque pixels are named by hue, saturation and value; a word counts when it names most of the
    coloured pixels and there are enough of them, or, for black, grey and white, nearly all pixels.
    """
    pixels = rgba[rgba[..., 3] > 200][:, :3] / 255.0
    if len(pixels) < 100:
        return ""
    value, low = pixels.max(1), pixels.min(1)
    chroma = value - low
    saturation = chroma / np.maximum(value, 1e-6)
    r, g, b = pixels.T
    safe = np.maximum(chroma, 1e-6)
    hue = np.where(
        value == r, (g - b) / safe % 6, np.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4)
    )
    hue *= 60
    grey = (saturation < 0.22) | (value < 0.2) | (chroma < 0.08)
    count = {
        "white": (grey & (value > 0.9)).sum(),
        "grey": (grey & (value <= 0.9) & (value >= 0.4)).sum(),
        "black": (grey & (value < 0.4)).sum(),
    }
    for word, share in count.items():
        if share > 0.8 * len(pixels):
            return word
    hue, saturation, value = hue[~grey], saturation[~grey], value[~grey]
    if len(hue) < 0.45 * len(pixels):
        return ""
    words = np.array(HUES)[np.searchsorted(HUE_ENDS, hue, side="right")]
    reddish = (words == "red") | (words == "pink")
    words[reddish & (saturation < 0.62) & (value > 0.85)] = "pink"
    words[(words == "red") & (value < 0.55)] = "brown"
    words[((words == "red") | (words == "orange")) & (value < 0.78) & (saturation < 0.8)] = "brown"
    words[(words == "orange") & (value < 0.6)] = "brown"
    # Skin, olive and slate have no ordinary word.
    words[(words == "orange") & (saturation < 0.5)] = ""
    words[(words == "yellow") & ((value < 0.6) | (saturation < 0.3))] = ""
    words[np.isin(words, ["turquoise", "blue", "purple"]) & (saturation < 0.38)] = ""
    found, number = np.unique(words, return_counts=True)
    best = number.argmax()
    return str(found[best]) if number[best] > 0.7 * len(words) else ""
