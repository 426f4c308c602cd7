"""Tensors -> pictures: bytes, frames for the page's canvases, PNG, GIF, strips and grids.

A *frame* is a dict that every component of the page can draw:
{"name", "quantity", "n", "w", "h", "c", "columns", "px"}: n pictures of h x w with c channels
(1 grey, 3 RGB), row by row in `px` as base64 of raw bytes, laid out in `columns`.
"""

import base64
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image
from torch import Tensor

QUANTITIES = ("x0", "eps", "xt", "z", "mean", "variance", "difference")


def pictures(x: Tensor | np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """(H,W), (C,H,W) or (B,C,H,W) with values from low (black) to high -> uint8 (B,H,W,C).

    Values beyond are clipped; uint8 input is taken as it is. Non-finite values raise ValueError:
    a broken network must not look like a black picture.
    """
    a = x.detach().float().cpu().numpy() if isinstance(x, Tensor) and x.is_floating_point() else x
    a = np.asarray(a)
    a = a.reshape((1,) * (4 - a.ndim) + a.shape).transpose(0, 2, 3, 1)
    if a.dtype == np.uint8:
        return a
    if not np.isfinite(a).all():
        raise ValueError("a picture holds NaN or infinity")
    scaled = (a - low) * (255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def diverging(x: Tensor | np.ndarray, limit: float) -> np.ndarray:
    """Signed values -> uint8 (B,H,W,3): blue below zero, white at zero, vermillion above."""
    a = x.detach().float().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x, np.float32)
    a = a.reshape((1,) * (4 - a.ndim) + a.shape).mean(axis=1)[..., None]
    if not np.isfinite(a).all():
        raise ValueError("a picture holds NaN or infinity")
    w = np.clip(np.abs(a) / limit, 0, 1)
    ends = np.where(a < 0, np.array([0, 114, 178]), np.array([213, 94, 0]))
    return np.rint(255 * (1 - w) + ends * w).astype(np.uint8)


def frame(
    x: Tensor | np.ndarray,
    name: str,
    quantity: str = "x0",
    low: float = 0.0,
    high: float = 1.0,
    columns: int | None = None,
) -> dict:
    """A batch as a frame. uint8 (B,H,W,C) from `pictures` or `diverging` is taken as it is."""
    ready = isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 4
    a = x if ready else pictures(x, low, high)
    n, h, w, c = a.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    px = base64.b64encode(np.ascontiguousarray(a)).decode()
    return {
        "name": name,
        "quantity": quantity,
        "n": n,
        "w": w,
        "h": h,
        "c": c,
        "columns": columns,
        "px": px,
    }


def grid(batch: np.ndarray, columns: int, gap: int = 0, background: int = 255) -> np.ndarray:
    """uint8 (B,H,W,C) -> one picture (rows*H, columns*W, C), with gaps between."""
    n, h, w, c = batch.shape
    rows = -(-n // columns)
    full = np.full((rows * columns, h + gap, w + gap, c), background, np.uint8)
    full[:n, :h, :w] = batch
    tall = full.reshape(rows, columns, h + gap, w + gap, c).swapaxes(1, 2)
    whole = tall.reshape(rows * (h + gap), columns * (w + gap), c)
    return whole[: whole.shape[0] - gap, : whole.shape[1] - gap]


def bars(
    title: str, heights: Sequence[float], marks: Sequence[str], top: float, chosen: int = -1
) -> dict:
    """A panel of bars for `Curves`, from 0 to `top`, where they are cut; the chosen one green."""
    return {
        "title": title,
        "x": [0, len(heights)],
        "y": [0, 1.05 * top],
        "xticks": [[k + 0.5, mark] for k, mark in enumerate(marks) if mark],
        "yticks": [0, float(f"{top:.2g}")],
        "bars": [
            [k + 0.1, k + 0.9, float(h), "q-z" if k == chosen else "q-variance"]
            for k, h in enumerate(heights)
        ],
    }


def strip(batch: np.ndarray, gap: int = 1) -> np.ndarray:
    """uint8 (B,H,W,C) side by side."""
    return grid(batch, len(batch), gap)


def image(picture: np.ndarray, scale: int = 1) -> Image.Image:
    """uint8 (H,W,C) -> a PIL picture, each pixel `scale` wide."""
    made = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    return made.resize((made.width * scale, made.height * scale), Image.Resampling.NEAREST)


def png(picture: np.ndarray, scale: int = 1) -> bytes:
    """uint8 (H,W,C) -> a PNG file."""
    out = BytesIO()
    image(picture, scale).save(out, "PNG")
    return out.getvalue()


def gif(batch: np.ndarray | Sequence[np.ndarray], seconds: float = 0.08, scale: int = 4) -> bytes:
    """Pictures uint8 (H,W,C) -> a GIF that repeats; `seconds` is the time of each."""
    first, *rest = (image(picture, scale) for picture in batch)
    out = BytesIO()
    first.save(out, "GIF", save_all=True, append_images=rest, duration=seconds * 1000, loop=0)
    return out.getvalue()


def base64_of(data: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(data).decode()


def _within(picture: Image.Image, size: int) -> Image.Image:
    """Scaled to fit a square; a thin picture keeps at least one pixel."""
    scale = size / max(picture.size)
    shape = tuple(max(1, round(v * scale)) for v in picture.size)
    return picture.resize(shape, Image.Resampling.BILINEAR)


def fit(picture: Image.Image, size: int, channels: int = 1) -> np.ndarray:
    """An RGB picture -> uint8 (size, size, channels): whole, centred, on its own edge colour."""
    small = _within(picture, size)
    edge = np.asarray(small)
    border = np.concatenate([edge[0], edge[-1], edge[:, 0], edge[:, -1]])
    colour = tuple(int(v) for v in np.median(border, axis=0))
    square = Image.new("RGB", (size, size), colour)
    square.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
    a = np.asarray(square.convert("L") if channels == 1 else square)
    return a.reshape(size, size, channels)


def ink(picture: Image.Image, size: int = 28) -> np.ndarray:
    """A photographed or drawn digit -> uint8 (size, size, 1), light ink on black, as in MNIST.

    A light background is inverted; the ink is stretched to full contrast and, as MNIST does,
    scaled into the middle 20/28 of the square.
    """
    grey = np.asarray(_within(picture.convert("L"), 512), np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    grey = np.abs(grey - np.median(border))
    grey = np.clip(grey - 0.2 * grey.max(), 0, None)  # paper is never quite even
    if grey.max() == 0:
        return np.zeros((size, size, 1), np.uint8)
    grey *= 255 / grey.max()
    rows, columns = np.nonzero(grey.max(1) > 32)[0], np.nonzero(grey.max(0) > 32)[0]
    inside = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
    box = max(1, round(size * 20 / 28))
    small = _within(Image.fromarray(inside), box)
    square = Image.new("L", (size, size))
    square.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
    return np.asarray(square)[..., None]
