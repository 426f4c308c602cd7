"""The shipped digits, and the autoencoders that code them; loaded when first asked for."""

from functools import cache

import torch
from torch import Tensor

from diffuser.ablations import FAMILY
from diffuser.autoencoders import AutoEncoder
from diffuser.ui import gate

PLANES = ("vae-2d", "ae-2d")
MODELS = (*PLANES, "vae-20d")
DIMENSIONS = {"ae-2d": 2, "vae-2d": 2, "vae-20d": 20}
LIMITS = {"ae-2d": 1000.0, "vae-2d": 6.0, "vae-20d": 6.0}  # a plain autoencoder has no fixed scale
ACTIVE = 0.01  # a unit is active where its mean varies by more than this (Burda et al. 2016)


@cache
def digits() -> tuple[Tensor, Tensor]:
    """The 500 shipped test digits: pictures (500, 1, 28, 28) in [0, 1] and classes (500,)."""
    from diffuser.data import shipped_digits

    images, classes = shipped_digits("test")
    return torch.from_numpy(images)[:, None].float() / 255, torch.from_numpy(classes).long()


def network(model: str, trained: bool = True) -> AutoEncoder:
    """One of MODELS, or a member of the family that differs in one part each (`FAMILY`)."""
    import diffuser

    if model in FAMILY:
        return diffuser.load("ablations", trained=trained)[model]
    return diffuser.load(model, trained=trained)


@torch.no_grad()
def encode(model: str, x: Tensor, trained: bool = True) -> tuple[Tensor, Tensor | None]:
    """Pictures (B, 1, 28, 28) in [0, 1] -> mean and log-variance, each (B, d), on the CPU."""
    net = network(model, trained)
    mean, log_var = net.encode(x.to(net.device))
    return mean.float().cpu(), None if log_var is None else log_var.float().cpu()


@torch.no_grad()
def decode(model: str, z: Tensor, trained: bool = True) -> Tensor:
    """Latents (B, d) -> pictures (B, 1, 28, 28) in [0, 1], on the CPU."""
    net = network(model, trained)
    return net.decode(z.to(net.device)).float().cpu()


@cache
def codes(model: str, trained: bool = True) -> Tensor:
    """Means of the 500 test digits, (500, d)."""
    return encode(model, digits()[0], trained)[0]


def latent_map(args: dict) -> dict:
    """The encoded test digits of a two-dimensional model, for `LatentPad`."""
    model = gate.choice("model", args.get("model"), PLANES)
    trained = gate.flag("trained", args.get("trained", True))
    means, classes = codes(model, trained), digits()[1]
    centre = torch.zeros(2)
    if model == "ae-2d" or not trained:  # nothing ties these to the origin
        centre = means.median(0).values
    half = max(1.05 * (means - centre).abs().quantile(0.995).item(), 1e-3)
    if model == "vae-2d" and trained:
        half = max(half, 3.0)
    home = means[int((classes == 3).nonzero()[0])]
    rows = zip(means.tolist(), classes, strict=True)
    points = [[round(x, 4), round(y, 4), int(c)] for (x, y), c in rows]
    return {"points": points, "centre": centre.tolist(), "half": half, "z": home.tolist()}
