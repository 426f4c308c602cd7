"""Tab *Latent space*: where an autoencoder puts digits, and what it draws between them."""

from functools import cache

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from diffuser.ui import gate, show
from diffuser.ui.components import LatentPad, LivePicture

PLANES = ("vae-2d", "ae-2d")
MODELS = (*PLANES, "vae-20d")
LIMITS = {"ae-2d": 1000.0, "vae-2d": 6.0, "vae-20d": 6.0}  # a plain autoencoder has no fixed scale


@cache
def digits() -> tuple[Tensor, Tensor]:
    """The 500 shipped test digits: pictures (500, 1, 28, 28) in [0, 1] and classes (500,)."""
    from diffuser.data import shipped_digits

    images, classes = shipped_digits("test")
    return torch.from_numpy(images)[:, None].float() / 255, torch.from_numpy(classes).long()


@torch.no_grad()
def encode(model: str, x: Tensor, trained: bool = True) -> tuple[Tensor, Tensor | None]:
    """Pictures (B, 1, 28, 28) in [0, 1] -> mean and log-variance, each (B, d), on the CPU."""
    import diffuser

    net = diffuser.load(model, trained=trained)
    mean, log_var = net.encode(x.to(net.device))
    return mean.float().cpu(), None if log_var is None else log_var.float().cpu()


@torch.no_grad()
def decode(model: str, z: Tensor, trained: bool = True) -> Tensor:
    """Latents (B, d) -> pictures (B, 1, 28, 28) in [0, 1], on the CPU."""
    import diffuser

    net = diffuser.load(model, trained=trained)
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


def at_point(args: dict) -> dict:
    """The picture at one point of the plane."""
    model = gate.choice("model", args.get("model"), PLANES)
    trained = gate.flag("trained", args.get("trained", True))
    z = gate.vector("z", args.get("z"), 2, LIMITS[model])
    picture = decode(model, torch.tensor([z]), trained)
    numbers = [[f"z{k + 1}", f"{v:+.2f}", "z"] for k, v in enumerate(z)]
    return {"frames": [show.frame(picture, "decoded from z")], "numbers": numbers}


def manifold(model: str, trained: bool, side: int = 15) -> tuple[np.ndarray, float]:
    """A side x side grid of decoded latents as uint8 (side*28, side*28, 1), and its stretch.

    The spacing is the inverse of the distribution function: the normal one for a VAE (its prior),
    that of the encoded test digits for a plain autoencoder, which has no prior. Pictures that use
    little of the grey range are stretched by the factor returned, else it is 1.
    """
    levels = (torch.arange(side) + 0.5) / side
    if model == "ae-2d":
        across, up = codes(model, trained).quantile(levels, dim=0).T
    else:
        across = up = torch.distributions.Normal(0.0, 1.0).icdf(levels)
    z = torch.stack([across.repeat(side), up.flip(0).repeat_interleave(side)], dim=1)
    x = decode(model, z, trained)
    low, high = x.min().item(), x.max().item()
    if high - low > 0.5:
        low, high = 0.0, 1.0
    return show.grid(show.pictures(x, low, max(high, low + 1e-6)), side), 1 / (high - low + 1e-6)


def manifolds(args: dict) -> dict:
    """VAE and autoencoder side by side, before or after training."""
    trained = gate.flag("trained", args.get("trained", True))
    frames, notes = [], []
    for model, name in (("vae-2d", "VAE"), ("ae-2d", "Autoencoder")):
        picture, stretch = manifold(model, trained)
        frames.append(show.frame(picture[None], name))
        if stretch > 1.5:
            notes.append(f"{name}: contrast stretched {stretch:.0f} times.")
    return {"frames": frames, "note": " ".join(notes)}


MODEL_CHOICES = [("VAE", "vae-2d"), ("Autoencoder", "ae-2d")]
TRAINED_CHOICES = [("Trained", True), ("Untrained", False)]


def build() -> None:
    """The tab's components and their connections."""
    with gr.Row():
        with gr.Column(min_width=280):
            pad = LatentPad(
                "latent-pad", latent_map, "latent-picture", {"model": "vae-2d", "trained": True}
            )
        with gr.Column(min_width=280):
            LivePicture("latent-picture", at_point, {}, at_once=False)
            model = gr.Radio(MODEL_CHOICES, value="vae-2d", label="Network")
            trained = gr.Radio(TRAINED_CHOICES, value=True, label="Weights")
            pad.follow(model=model, trained=trained)
    gr.Markdown(
        "Each small figure is a test digit, placed where the encoder puts it; the green point is "
        "yours. **Drag it** from one crowd to another, or use the arrow keys, and watch one digit "
        "become the next. Then switch to the autoencoder: without noise and prior it leaves holes, "
        "and in a hole it draws what no one would write."
    )
    gr.Markdown("## The whole plane at once")
    plane = LivePicture("manifolds", manifolds, {"trained": True})
    before = gr.Radio(TRAINED_CHOICES, value=True, label="Weights")
    plane.follow(trained=before)
    gr.Markdown(
        "Every cell is decoded from one point; equal steps hold equal probability. **Untrained**, "
        "the same network draws figures that change smoothly and mean nothing. **Trained**, they "
        "change as smoothly and are digits: continuity comes with the network, meaning is learned."
    )
