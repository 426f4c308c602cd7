"""Every bad value is refused in one sentence; every good one comes back clean."""

import base64
import math
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from diffuser.ui import gate
from diffuser.ui.gate import BadInput

NOT_NUMBERS = [None, True, False, "20", "abc", math.nan, math.inf, -math.inf, [], {}, 1e308]


def file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("name", gate.RANGES)
@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_what_is_no_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(BadInput, match="from"):
        gate.number(name, value)


@pytest.mark.parametrize("name", gate.RANGES)
def test_ranges_include_their_ends_and_nothing_more(name: str) -> None:
    r = gate.RANGES[name]
    assert gate.number(name, r.low) == r.low
    assert gate.number(name, r.high) == r.high
    for beyond in (r.low - 1, r.high + 1, 10**400):
        with pytest.raises(BadInput):
            gate.number(name, beyond)


def test_whole_numbers() -> None:
    assert gate.whole("steps", 20.0) == 20
    with pytest.raises(BadInput, match="whole"):
        gate.whole("steps", 3.7)


def test_seed_minus_one_draws_one() -> None:
    assert gate.seed(7) == 7
    assert 0 <= gate.seed(-1) < 2**32


def test_one_number_or_one_for_each() -> None:
    assert gate.each("temperature", 0.5, 3) == [0.5] * 3
    assert gate.each("temperature", [0, 1.5, 2], 3) == [0.0, 1.5, 2.0]
    assert gate.each("seed", [3, 4], 2) == [3, 4]
    assert all(0 <= one < 2**32 for one in gate.each("seed", -1, 4))
    for bad in ([0.5], [0.5] * 4, [0.5, 3, 1], [0.5, True, 1], "111", None, math.nan):
        with pytest.raises(BadInput, match="temperature must be"):
            gate.each("temperature", bad, 3)


def test_vectors() -> None:
    assert gate.vector("z", [1, -6.0], 2) == [1.0, -6.0]
    for bad in ([0], [0, 0, 0], [0, math.nan], [0, 1e6], [0, "1"], [0, True], "00", None, {0: 1}):
        with pytest.raises(BadInput, match="2 numbers"):
            gate.vector("z", bad, 2)


def test_choices_flags_and_labels() -> None:
    assert gate.choice("sampler", "ddim", {"ddim": 1}) == "ddim"
    for bad in ("os.system", "../../x", None, ["ddim"], 3):
        with pytest.raises(BadInput, match="one of: ddim"):
            gate.choice("sampler", bad, {"ddim": 1})
    assert gate.flag("trained", False) is False
    with pytest.raises(BadInput):
        gate.flag("trained", 0)
    assert gate.label(None) is None and gate.label(9) == 9


def test_prompts_keep_their_meaning() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert gate.prompt(f" a {family} ") == f"a {family}"
    assert gate.prompt("caf\u0065\u0301") == "caf\u00e9"
    assert gate.prompt("a\x00b\x1b[31mc\ud800d\u202ee\r\nf") == "ab[31mcde  f"
    assert gate.prompt("<script>((((%s{0}") == "<script>((((%s{0}"
    assert gate.prompt("") == ""
    for bad in ("x" * 2001, "x" * 10_000_000, None, 5, ["a"]):
        with pytest.raises(BadInput):
            gate.prompt(bad)


def test_total_work_is_bounded() -> None:
    gate.budget(1, 1000)
    with pytest.raises(BadInput, match="network evaluations"):
        gate.budget(9, 1000, 4)


def test_drawings() -> None:
    raw = bytes(range(256)) * 3 + bytes(16)
    assert gate.pixels(base64.b64encode(raw).decode()).tobytes() == raw
    for bad in ("", "AAAA", "*" * 1000, None, 5, "A" * 10_000_000):
        with pytest.raises(BadInput):
            gate.pixels(bad)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_good_pictures(kind: str) -> None:
    made = gate.picture(file(Image.new("RGB", (5, 3), (200, 10, 10)), kind))
    assert made.mode == "RGB" and made.size == (5, 3)
    assert abs(made.getpixel((2, 1))[0] - 200) < 8


def header_of_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


BROKEN = {
    "empty": b"",
    "text": b"hello",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "pdf": b"%PDF-1.7",
    "gif": file(Image.new("L", (4, 4)), "GIF"),
    "tiff": file(Image.new("L", (4, 4)), "TIFF"),
    "half png": file(Image.effect_noise((64, 64), 50))[:1500],
    "half jpeg": file(Image.effect_noise((64, 64), 50), "JPEG")[:1000],
    "20 megapixels": header_of_bomb(5000, 4001),
    "900 megapixels": header_of_bomb(30000, 30000),
    "too many bytes": bytes(10_000_001),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pictures_are_refused(name: str) -> None:
    with pytest.raises(BadInput):
        gate.picture(BROKEN[name])


def test_odd_kinds_of_pictures_keep_their_colours() -> None:
    deep = Image.fromarray(np.full((2, 2), 0x8000, np.uint16))
    assert gate.picture(file(deep)).getpixel((0, 0)) == (128, 128, 128)
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert gate.picture(file(clear)).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("RGB", (2, 2), (255, 0, 0)).convert("P")
    assert gate.picture(file(palette)).getpixel((0, 0)) == (255, 0, 0)
    assert gate.picture(file(Image.new("1", (2, 2), 1))).getpixel((0, 0)) == (255, 255, 255)
    cmyk = gate.picture(file(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert cmyk.getpixel((4, 4))[0] > 240 and cmyk.getpixel((4, 4))[1] < 15


def test_orientation_is_applied_and_metadata_dropped() -> None:
    wide = Image.new("RGB", (8, 4), "black")
    wide.paste((255, 255, 255), (0, 0, 2, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    exif[0x010E] = "secret"
    made = gate.picture(file(wide, "PNG", exif=exif))
    assert made.size == (4, 8)
    assert made.getpixel((0, 0)) == (255, 255, 255) and made.getpixel((0, 7)) == (0, 0, 0)
    assert not made.getexif() and b"secret" not in file(made)


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    moving = file(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert gate.picture(moving).getpixel((0, 0)) == (255, 0, 0)
