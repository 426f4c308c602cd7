"""Part of the tab *Latent space*: one picture's posterior, and a sample moved by hand."""

import math

import gradio as gr
import torch
from torch import Tensor

from diffuser.likelihood import bernoulli_nll, kl_to_standard_normal
from diffuser.ui import gate, latent_vector, show
from diffuser.ui.coder import decode, digits, encode, latent_map
from diffuser.ui.components import DrawPad, LatentPad, LivePicture, tell
from diffuser.ui.forward_picture import plain

MODEL, SAMPLES = "vae-2d", 8
START = {"digit": 5, "eps": [0.8, 0.6], "px": None}


def chosen(args: dict) -> Tensor:
    """The drawing if there is one, else the test digit: (1, 1, 28, 28) in [0, 1]."""
    if args.get("px") is None:
        return digits()[0][gate.whole("digit", args.get("digit"))][None]
    drawn = gate.pixels(args["px"])
    return torch.from_numpy(drawn.copy())[None, None, ..., 0].float() / 255


def dimensions(x: Tensor, kl: Tensor) -> tuple[list[dict], list]:
    """KL of each dimension as bars, of VAEs with 2 and with 20 dimensions, and the larger's number.

    x: (1, 1, 28, 28); kl: (2,) in nats. The twenty stand in the order of what they carry over the
    500 test digits, so that they keep their places from picture to picture.
    """
    mean, log_var = encode(latent_vector.MODEL, x)
    assert log_var is not None
    many, (carried, active) = kl_to_standard_normal(mean, log_var)[0], latent_vector.carried()
    many, size = many[carried.argsort(descending=True)], len(carried)
    top = max(kl.max().item(), many.max().item(), 0.1)
    panels = [
        show.bars("KL of each dimension, nats: this VAE", kl.tolist(), ["z1", "z2"], top),
        show.bars(
            f"the same of a VAE with {size} dimensions",
            many.tolist(),
            ["1"] + [""] * 18 + ["20"],
            top,
        ),
    ]
    said = f"{many.sum():.1f} nats in {size} dimensions, {active} of them active"
    return panels, ["KL in a larger VAE", said, "variance"]


def posterior(args: dict) -> dict:
    """q(z | x) of one picture, a sample z = mean + exp(log_var / 2) eps, and what they draw."""
    x = chosen(args)
    eps = torch.tensor(gate.vector("eps", args.get("eps"), 2))
    mean, log_var = encode(MODEL, x)
    assert log_var is not None
    std = (log_var / 2).exp()
    noise = torch.randn(SAMPLES, 2, generator=torch.Generator().manual_seed(0))
    z = mean + std * torch.cat([torch.zeros(1, 2), eps[None], noise])
    drawn = decode(MODEL, z)
    nats = bernoulli_nll(drawn[1:2].logit(eps=1e-6), x).item()
    kl = kl_to_standard_normal(mean, log_var)[0]
    rows = zip(mean[0].tolist(), std[0].tolist(), eps.tolist(), z[1].tolist(), strict=True)
    numbers = [
        [
            f"z{k + 1} = mean + exp(log_var / 2) eps",
            f"{m:+.2f} + {s:.3f} x {e:+.2f} = {v:+.3f}",
            "z",
        ]
        for k, (m, s, e, v) in enumerate(rows)
    ]
    numbers += [
        ["reconstruction", f"{nats:.1f} nats", "x0"],
        ["KL", f"{kl[0]:.2f} + {kl[1]:.2f} = {kl.sum():.2f} nats", "variance"],
    ]
    formula = [
        ["−ELBO  =  ", None],
        ["reconstruction", "x0"],
        ["  +  ½ Σ (", None],
        ["mean", "mean"],
        ["² + ", None],
        ["exp(log_var)", "variance"],
        [" − 1 − ", None],
        ["log_var", "variance"],
        [f")\n        =  {nats:.1f}", None],
    ]
    for m, v in zip(mean[0].tolist(), log_var[0].tolist(), strict=True):
        formula += [
            ["  +  ½ (", None],
            [plain(m, 2), "mean"],
            ["² + ", None],
            [f"{math.exp(v):.3f}", "variance"],
            [" − 1 − " if v >= 0 else " − 1 + ", None],
            [f"{abs(v):.2f}", "variance"],
            [")", None],
        ]
    formula.append([f"  =  {nats + kl.sum():.1f} nats", None])
    panels, larger = dimensions(x, kl)
    say = {"posterior-pad": {"ellipse": {"mean": mean[0].tolist(), "std": std[0].tolist()}}}
    if args.get("px") is None:
        px = show.base64_of(show.pictures(x).tobytes())
        say["posterior-paper"] = {"px": px, "quiet": True}
    frames = [
        show.frame(drawn[1:2], "decoded from your z", "z"),
        show.frame(drawn[:1], "decoded from the mean", "mean"),
        show.frame(show.diverging(x - drawn[:1], 1.0), "picture minus that", "difference"),
        show.frame(drawn[2:], "eight samples of the posterior", "variance", columns=SAMPLES),
    ]
    return {
        "frames": frames,
        "numbers": [*numbers, larger],
        "formula": formula,
        "curves": panels,
        "say": say,
    }


def build() -> None:
    """The section's components."""
    gr.Markdown("## One picture, its posterior")
    with gr.Row():
        with gr.Column(scale=1, min_width=230):
            DrawPad("posterior-paper", "posterior-picture")
            digit = gr.Slider(0, 499, START["digit"], step=1, label="Or a test digit")
            close = gr.Radio([("Close", True), ("Whole map", False)], value=True, label="View")
        with gr.Column(scale=2, min_width=280):
            LatentPad(
                "posterior-pad", latent_map, "posterior-picture", {"model": MODEL}, close=True
            )
    LivePicture("posterior-picture", posterior, START)
    tell(digit, "posterior-picture", "digit", {"px": None})
    tell(close, "posterior-pad", "close")
    gr.Markdown(
        "The encoder answers with a whole cloud: the orange ellipses are one and two standard "
        "deviations. **Drag the green point**: you are choosing eps, and the numbers show the "
        "sample it makes. Within the ellipse the picture hardly changes; that is what the noise "
        "taught the decoder. **Draw** something that is no digit and see where it lands."
    )
