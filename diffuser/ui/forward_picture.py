"""The picture of the tab *Forward* and its mixture with noise, x_t = alpha x0 + sigma eps."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffuser.gaussian import mix
from diffuser.schedules import SCHEDULES
from diffuser.ui import gate

OWN_SIZE = 48  # side of a drawn or uploaded picture
SCENE_SIZE = 64
SOURCES = ("digit", "clothes", "scene", "own")


@cache
def greys(source: str) -> np.ndarray:
    """500 grey test pictures, uint8 (500, 28, 28): the shipped digits, or clothes if cached."""
    from diffuser.data import fashion, shipped_digits

    return shipped_digits("test")[0] if source == "digit" else fashion("test")[0][:500]


def clothes_are_here() -> bool:
    """Whether the clothes are cached on this machine; nothing is fetched for the page."""
    from diffuser.data import cache_dir

    return (cache_dir() / "fashion.npz").exists()


@cache
def scene() -> np.ndarray:
    """A small colour picture made by formula: a sun over hills, uint8 (64, 64, 3)."""
    y, x = np.mgrid[0:SCENE_SIZE, 0:SCENE_SIZE] / (SCENE_SIZE - 1)
    sky = np.stack([0.98 - 0.45 * (1 - y), 0.62 + 0.1 * (1 - y), 0.45 + 0.45 * (1 - y)], -1)
    picture = np.where((np.hypot(x - 0.68, y - 0.36) < 0.14)[..., None], (1.0, 0.93, 0.55), sky)
    for height, colour in ((0.58, (0.36, 0.42, 0.56)), (0.74, (0.16, 0.34, 0.3))):
        hill = y > height + 0.08 * np.sin(5 * x + 9 * height) + 0.03 * np.sin(13 * x)
        picture = np.where(hill[..., None], colour, picture)
    return np.rint(255 * picture).astype(np.uint8)


def signed(picture: np.ndarray) -> Tensor:
    """uint8 (H, W, C) or (H, W) -> (1, C, H, W) in [-1, 1], float64."""
    x = torch.tensor(picture, dtype=torch.float64) / 127.5 - 1
    return (x[..., None] if x.ndim == 2 else x).permute(2, 0, 1)[None]


def chosen_picture(args: dict) -> Tensor:
    """The picture that args name (source, digit, px), (1, C, H, W) in [-1, 1]."""
    source = gate.choice("source", args.get("source", "digit"), SOURCES)
    if source == "own":
        if args.get("px") is None:
            return signed(np.zeros((OWN_SIZE, OWN_SIZE, 3), np.uint8))
        return signed(gate.pixels(args["px"], OWN_SIZE, OWN_SIZE, 3))
    if source == "scene":
        return signed(scene())
    if source == "clothes" and not clothes_are_here():
        raise gate.BadInput("The clothes are not on this machine; choose another picture.")
    return signed(greys(source)[gate.whole("digit", args.get("digit", 0))])


def noise_like(x: Tensor, seed: int) -> Tensor:
    """Standard normal noise of x's shape; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)


class Mixture(NamedTuple):
    """x_t and what it is made of; alpha and sigma are numbers, pictures (B, C, H, W)."""

    x0: Tensor
    eps: Tensor
    xt: Tensor
    alpha: float
    sigma: float

    @property
    def log_snr(self) -> float:
        """log(alpha^2 / sigma^2); infinite at pure data and at pure noise."""
        if self.sigma == 0 or self.alpha == 0:
            return math.inf if self.sigma == 0 else -math.inf
        return 2 * (math.log(self.alpha) - math.log(self.sigma))

    @property
    def shown(self) -> float:
        """x_t is shown from -this (black) to +this (white), so that its contrast is honest."""
        return self.alpha + 2 * self.sigma


def noised(x0: Tensor, t: float, schedule: str, seed: int) -> Mixture:
    """x_t = alpha x0 + sigma eps in one go (Luo eq. 70)."""
    alpha, sigma = SCHEDULES[schedule](torch.tensor(t, dtype=torch.float64))
    eps = noise_like(x0, seed)
    return Mixture(x0, eps, mix(x0, eps, alpha, sigma), alpha.item(), sigma.item())


def plain(value: float, digits: int = 3) -> str:
    """A number in words for the page: with a true minus sign, infinity as a symbol."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}".replace("-", "−")
