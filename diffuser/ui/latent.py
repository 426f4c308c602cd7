"""Tab *Latent space*: where an autoencoder puts digits, and what it draws between them."""

import gradio as gr
import numpy as np
import torch

from diffuser.likelihood import kl_to_standard_normal
from diffuser.ui import (
    gate,
    lanes,
    latent_ablations,
    latent_collapse,
    latent_path,
    latent_posterior,
    latent_train,
    latent_vector,
    show,
)
from diffuser.ui.coder import DIMENSIONS, LIMITS, MODELS, PLANES, codes, decode, encode, latent_map
from diffuser.ui.components import LatentPad, LivePicture


def at_point(args: dict) -> dict:
    """The picture at one point of the plane."""
    model = gate.choice("model", args.get("model"), PLANES)
    trained = gate.flag("trained", args.get("trained", True))
    z = gate.vector("z", args.get("z"), 2, LIMITS[model])
    picture = decode(model, torch.tensor([z]), trained)
    return {"frames": [show.frame(picture, "decoded from z")]}


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
    low, high = x.min().item(), max(x.max().item(), x.min().item() + 1e-6)
    if high - low > 0.5:
        low, high = 0.0, 1.0
    return show.grid(show.pictures(x, low, high), side), 1 / (high - low)


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


def api_decode(z: list[float], model: str = "vae-2d") -> dict:
    """One latent -> its picture: {"png": base64, "pixels": 28 rows of numbers from 0 to 1}.

    z: 2 numbers for "vae-2d" and "ae-2d", 20 for "vae-20d"; each from -6 to 6 (ae-2d: +-1000).
    """
    model = gate.choice("model", model, MODELS)
    clean = gate.vector("z", z, DIMENSIONS[model], LIMITS[model])
    x = decode(model, torch.tensor([clean]))
    png = show.base64_of(show.png(show.pictures(x)[0]))
    return {"png": png, "pixels": [[round(v, 4) for v in row] for row in x[0, 0].tolist()]}


def api_encode(picture: str, model: str = "vae-2d") -> dict:
    """A picture of a digit -> {"mean", "log_var", "kl", "png"}.

    picture: base64 of a PNG, JPEG or WEBP file. It is cut out and centred as in MNIST; "png" is
    what the network saw. "kl" is in nats per dimension; a plain autoencoder has no "log_var", "kl".
    """
    model = gate.choice("model", model, MODELS)
    ink = show.ink(gate.picture(gate.decoded(picture)))
    mean, log_var = encode(model, torch.from_numpy(ink.copy())[None, None, ..., 0].float() / 255)
    found = {"mean": mean[0].tolist(), "png": show.base64_of(show.png(ink))}
    if log_var is not None:
        found["log_var"] = log_var[0].tolist()
        found["kl"] = kl_to_standard_normal(mean, log_var)[0].tolist()
    return found


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
            with gr.Row():
                model = gr.Radio(MODEL_CHOICES, value="vae-2d", label="Network", min_width=200)
                trained = gr.Radio(TRAINED_CHOICES, value=True, label="Weights", min_width=200)
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
    latent_posterior.build()
    latent_vector.build()
    latent_path.build()
    latent_ablations.build()
    latent_collapse.build()
    latent_train.build()
    gr.api(lanes.checked(api_decode), api_name="decode", queue=False)
    gr.api(lanes.checked(api_encode), api_name="encode", queue=False)
    gr.api(lanes.checked(latent_path.api_interpolate), api_name="interpolate", queue=False)
