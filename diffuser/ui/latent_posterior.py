"""Part of the tab *Latent space*: one picture's posterior, and a sample moved by hand."""

import gradio as gr
import torch
from torch import Tensor

from diffuser.ui import gate, show
from diffuser.ui.coder import decode, digits, encode, latent_map
from diffuser.ui.components import DrawPad, LatentPad, LivePicture, tell

MODEL, SAMPLES = "vae-2d", 8
START = {"digit": 5, "eps": [0.8, 0.6], "px": None}


def chosen(args: dict) -> Tensor:
    """The drawing if there is one, else the test digit: (1, 1, 28, 28) in [0, 1]."""
    if args.get("px") is None:
        return digits()[0][gate.whole("digit", args.get("digit"))][None]
    drawn = gate.pixels(args["px"])
    return torch.from_numpy(drawn.copy())[None, None, ..., 0].float() / 255


def posterior(args: dict) -> dict:
    """q(z | x) of one picture, a sample z = mean + exp(log_var / 2) eps, and what they draw."""
    from diffuser.likelihood import bernoulli_nll, kl_to_standard_normal

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
        ["negative ELBO", f"{nats + kl.sum():.1f} nats", None],
    ]
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
    return {"frames": frames, "numbers": numbers, "say": say}


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
