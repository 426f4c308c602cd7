"""Tensors become the pixels they mean."""

import base64
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from diffuser.ui import show


def test_pictures_scale_clip_and_reorder() -> None:
    x = torch.tensor([[[-1.0, 0.0], [1.0, 3.0]]])
    assert show.pictures(x, -1, 1)[0, ..., 0].tolist() == [[0, 128], [255, 255]]
    colour = torch.zeros(2, 3, 4, 5)
    colour[:, 1] = 1
    made = show.pictures(colour)
    assert made.shape == (2, 4, 5, 3) and made[0, 0, 0].tolist() == [0, 255, 0]
    with pytest.raises(ValueError, match="NaN"):
        show.pictures(torch.full((2, 2), float("nan")))


def test_diverging_is_white_at_zero() -> None:
    made = show.diverging(torch.tensor([[[[-2.0, 0.0, 2.0]]]]), 2.0)
    assert made[0, 0].tolist() == [[0, 114, 178], [255, 255, 255], [213, 94, 0]]


def test_frames_hold_their_pixels_row_by_row() -> None:
    x = torch.arange(12, dtype=torch.uint8).reshape(2, 1, 2, 3)
    made = show.frame(x, "two", "xt")
    assert (made["n"], made["h"], made["w"], made["c"], made["columns"]) == (2, 2, 3, 1, 2)
    assert base64.b64decode(made["px"]) == bytes(range(12))
    assert show.frame(show.pictures(x), "two", "xt") == made


def test_grid_and_strip() -> None:
    batch = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    assert show.grid(batch, 2, gap=1, background=9)[..., 0].tolist() == [
        [0, 9, 1],
        [9, 9, 9],
        [2, 9, 9],
    ]
    assert show.strip(batch, gap=0)[..., 0].tolist() == [[0, 1, 2]]


def test_files() -> None:
    batch = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)])
    png = Image.open(BytesIO(show.png(batch[1], scale=3)))
    assert (
        png.format == "PNG" and png.size == (12, 12) and png.getpixel((11, 11)) == (255, 255, 255)
    )
    gif = Image.open(BytesIO(show.gif(batch, scale=2)))
    assert gif.format == "GIF" and gif.size == (8, 8) and gif.n_frames == 2


@pytest.mark.parametrize(
    ("paper", "pen"), [("white", "black"), ("black", "white"), ("#d8d0c0", "#203060")]
)
def test_ink_makes_an_upload_look_like_mnist(paper: str, pen: str) -> None:
    photo = Image.new("RGB", (200, 300), paper)
    photo.paste(pen, (20, 40, 60, 160))
    made = show.ink(photo)[..., 0]
    assert made.shape == (28, 28) and made.dtype == np.uint8
    assert made.max() == 255 and made[:3].max() == 0 and made[:, :3].max() == 0
    rows, columns = np.nonzero(made > 128)
    assert abs(rows.mean() - 13.5) < 1 and abs(columns.mean() - 13.5) < 1
    assert show.ink(Image.new("RGB", (1, 5000), paper)).max() == 0


def test_fit_keeps_the_whole_picture() -> None:
    photo = Image.new("RGB", (100, 50), "red")
    assert show.fit(photo, 16, 3).shape == (16, 16, 3)
    assert show.fit(photo, 16, 3)[0, 0].tolist() == [255, 0, 0]
    assert show.fit(Image.new("RGB", (10000, 1)), 8, 1).shape == (8, 8, 1)
