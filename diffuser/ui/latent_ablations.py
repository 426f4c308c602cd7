"""Part of the tab *Latent space*: what a VAE becomes without one of its parts."""

import json
from functools import cache
from typing import NamedTuple

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from diffuser.ablations import FAMILY
from diffuser.evaluate_ablations import CONFIDENT
from diffuser.likelihood import gaussian_kl_to_standard_normal, kl_to_standard_normal
from diffuser.ui import gate, lanes, show
from diffuser.ui.coder import ACTIVE, decode, digits, encode, network
from diffuser.ui.components import LatentPad, LivePicture
from diffuser.ui.forward_picture import plain
from diffuser.weights import WEIGHTS

GROUPS = {
    "deep": ("vae", "no-noise", "no-kl", "ae"),
    "textbook": ("textbook-ce-sum", "textbook-ce-mean", "textbook-se-sum", "textbook-se-mean"),
}
NAMES = {
    "vae": "The whole VAE",
    "no-noise": "Without the noise",
    "no-kl": "Without the KL term",
    "ae": "Plain autoencoder",
    "textbook-ce-sum": "Cross-entropy, KL summed",
    "textbook-ce-mean": "Cross-entropy, KL averaged",
    "textbook-se-sum": "Squared error, KL summed",
    "textbook-se-mean": "Squared error, KL averaged",
}
PADS = tuple(f"ablation-{k}" for k in range(1, 5))
START = {"group": "deep", "z": [0.5, -0.5]}
LIMIT = 1000.0  # a plain autoencoder has no fixed scale
PRIOR = 3.3  # half the width of a map that shows where N(0, I) lies
SIDE = 9  # cells along a grid of decoded points
CLOUDS = 30  # digits whose ellipse is drawn


class Statistics(NamedTuple):
    """A member's codes of the 500 test digits; log_var and kl are None for a plain autoencoder."""

    log_var: float | None
    """Mean log-variance."""
    spread: float
    """Standard deviation of the means, average over dimensions."""
    kl: Tensor | None
    """KL(q(z | x) || N(0, I)) of each dimension, (d,), in nats."""
    active: int
    """How many units are active."""
    aggregate_kl: float
    """KL to N(0, I), in nats, of the Gaussian with the mean and covariance of z, for all digits
    together: that of the means and, added, the average posterior variance."""
    at_mean: float
    """Reconstruction from the mean, grey cross-entropy in nats."""
    at_draw: float
    """The same from z = mean + exp(log_var / 2) eps, one draw for each digit."""


@cache
@torch.no_grad()
def statistics(member: str) -> Statistics:
    """Computed once, over the 500 shipped test digits."""
    net, x = network(member), digits()[0]
    mean, log_var = encode(member, x)
    covariance, kl = mean.T.cov(correction=0), None
    if log_var is not None:
        covariance += log_var.exp().mean(0).diag()
        kl = kl_to_standard_normal(mean, log_var).mean(0)
    eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    x, eps = x.to(net.device), eps.to(net.device)
    return Statistics(
        None if log_var is None else log_var.mean().item(),
        mean.std(0).mean().item(),
        kl,
        int((mean.var(0) > ACTIVE).sum()),
        gaussian_kl_to_standard_normal(mean.mean(0), covariance).item(),
        net.elbo(x, 0 * eps)["reconstruction"].mean().item(),
        net.elbo(x, eps)["reconstruction"].mean().item(),
    )


def normal_grid(side: int) -> Tensor:
    """Points of the plane, row by row from the top left, equally likely under N(0, I).

    (side * side, 2), spaced by the inverse of the normal distribution function.
    """
    levels = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(side) + 0.5) / side)
    return torch.stack([levels.repeat(side), levels.flip(0).repeat_interleave(side)], dim=1)


@cache
def measured() -> dict[str, dict[str, float]]:
    """What `python -m diffuser evaluate ablations` found of each member's draws from N(0, I)."""
    file = WEIGHTS / "ablations" / "evaluation.json"
    return json.loads(file.read_text())["by_member"]


def chosen_group(args: dict) -> tuple[str, ...]:
    """The four members that stand side by side."""
    return GROUPS[gate.choice("group", args.get("group", "deep"), GROUPS)]


def family_map(args: dict) -> dict:
    """Where one member puts the test digits: around N(0, I), or all of them; for `LatentPad`."""
    member = chosen_group(args)[PADS.index(gate.choice("pad", args.get("pad"), PADS))]
    near = gate.flag("near", args.get("near", True))
    classes = digits()[1].tolist()
    mean, log_var = encode(member, digits()[0])
    centre, half = torch.zeros(2), PRIOR
    if not near:
        centre = mean.median(0).values
        half = max(1.05 * (mean - centre).abs().quantile(0.995).item(), 1e-3)
    points = np.column_stack([mean.numpy().round(4), classes]).tolist()
    clouds = []
    if log_var is not None:
        std = (log_var / 2).exp()
        clouds = np.column_stack([mean.numpy(), std.numpy(), classes])[:CLOUDS].tolist()
    return {
        "name": NAMES[member],
        "points": points,
        "clouds": clouds,
        "rings": [1, 2, 3],
        "centre": centre.tolist(),
        "half": half,
        "still": True,
    }


def at_point(args: dict) -> dict:
    """What each of the four draws at the same z; the other pads move along."""
    z = gate.vector("z", args.get("z"), 2, LIMIT)
    frames = [show.frame(decode(m, torch.tensor([z])), NAMES[m]) for m in chosen_group(args)]
    say = {pad: {"z": z} for pad in PADS if pad != args.get("pad")}
    return {
        "frames": frames,
        "numbers": [["z", f"({plain(z[0], 2)}, {plain(z[1], 2)})", "z"]],
        "say": say,
    }


MORE = {
    "deep": "",
    "textbook": "Averaged over the two dimensions, as it is often written, the KL counts half: "
    "that is β = 1 / latent_dim. The means spread wider, and N(0, I) draws worse.",
}
HEAD = [
    "",
    "log-variance",
    "spread of means",
    "all codes to N(0, I)",
    "reconstruction",
    "with noise",
    "draws read",
    "draws to digits",
]


def row(member: str) -> list[str]:
    """One member's numbers as texts, under `HEAD`."""
    s, draws = statistics(member), measured()[member]
    return [
        NAMES[member],
        # the sum leaves no minus before a zero
        "none" if s.log_var is None else plain(round(s.log_var, 1) + 0.0, 1),
        f"{s.spread:.2f}",
        f"{s.aggregate_kl:.2f} nats",
        f"{s.at_mean:.0f} nats",
        "none" if s.log_var is None else f"{s.at_draw:.0f} nats",
        f"{draws['prior_read']:.0%}",
        f"{draws['prior_frechet']:.1f}",
    ]


def planes(args: dict) -> dict:
    """What N(0, I) draws with each of the four, and their numbers."""
    members = chosen_group(args)
    grids = [show.grid(show.pictures(decode(m, normal_grid(SIDE))), SIDE) for m in members]
    frames = [show.frame(g[None], NAMES[m]) for g, m in zip(grids, members, strict=True)]
    note = MORE[args.get("group", "deep")]
    return {"frames": frames, "table": [HEAD, *(row(m) for m in members)], "note": note}


def api_ablate(member: str, z: list[float]) -> dict:
    """What a VAE without one of its parts draws at a latent, and its numbers.

    member: vae, no-noise, no-kl, ae, textbook-ce-sum, textbook-ce-mean, textbook-se-sum or
    textbook-se-mean, with 2 numbers in z; beta-0, beta-1, beta-4, beta-10, beta-30, beta-100 or
    free-nats, with 10. Each number is from -1000 to 1000.
    Returns "png" (base64), "about", "beta" (weight of the KL term) and, over 500 test digits:
    "log_var" (mean), "spread" (standard deviation of the means), "kl" (nats of each dimension),
    "active_units", "aggregate_kl" (nats; of the Gaussian with the mean and covariance of all codes
    to N(0, I)), "reconstruction" and "reconstruction_with_noise" (nats). Of 1,000 draws from
    N(0, I), as measured before: "read_as_digits", the share in which a classifier sees one digit
    with at least 90 %, and "frechet", their distance to real digits in that classifier's features.
    """
    member = gate.choice("member", member, FAMILY)
    clean = gate.vector("z", z, network(member).latent_dim, LIMIT)
    s = statistics(member)
    return {
        "png": show.base64_of(show.png(show.pictures(decode(member, torch.tensor([clean])))[0])),
        "about": FAMILY[member].about,
        "beta": FAMILY[member].beta if FAMILY[member].network.get("variational", True) else None,
        "log_var": s.log_var,
        "spread": s.spread,
        "kl": None if s.kl is None else s.kl.tolist(),
        "active_units": s.active,
        "aggregate_kl": s.aggregate_kl,
        "reconstruction": s.at_mean,
        "reconstruction_with_noise": s.at_draw,
        "read_as_digits": measured()[member]["prior_read"],
        "frechet": measured()[member]["prior_frechet"],
    }


GROUP_CHOICES = [("Deep", "deep"), ("Textbook, 784-256-2", "textbook")]
VIEW_CHOICES = [("Around N(0, I)", True), ("All codes", False)]


def build() -> None:
    """The section's components."""
    gr.Markdown("## Remove a part")
    pads = []
    with gr.Row(elem_id="ablation-pads"):
        for name in PADS:
            with gr.Column(min_width=140):
                args = {"pad": name, "group": "deep", "near": True}
                pads.append(LatentPad(name, family_map, "ablations", args, tuple(START["z"])))
    view = LivePicture("ablations", at_point, START)
    with gr.Row():
        group = gr.Radio(
            GROUP_CHOICES, value="deep", label="Networks", min_width=200, elem_id="ablation-group"
        )
        near = gr.Radio(VIEW_CHOICES, value=True, label="Maps", min_width=200)
    for pad in pads:
        pad.follow(group=group, near=near)
    view.follow(group=group)
    gr.Markdown(
        "**Drag z on any of the maps**: four networks that differ in one part draw it. The dashed "
        "circles are one, two and three standard deviations of N(0, I); the thin ellipses are what "
        "the encoder says of thirty digits, as wide as its noise.\n\n"
        "**The noise** makes the decoder draw alike what lies close together. Without it nothing "
        "pays for narrow ellipses: log-variance goes to 0, as the KL term wishes, the means creep "
        "towards the origin, and the ellipses promise a noise that the decoder has never met.\n\n"
        "**The KL term** keeps the codes where N(0, I) is. Without it noise is only in the way: "
        "log-variance runs towards minus infinity, the ellipses shrink to points, and the VAE has "
        "become the autoencoder beside it: its codes lie where they happen to, with holes between "
        "the crowds. *All codes* shows each map whole."
    )
    gr.Markdown("### What N(0, I) draws")
    LivePicture("ablation-planes", planes, {"group": "deep"}).follow(group=group)
    gr.Markdown(
        "Each grid is decoded from the same 81 points, equally likely under N(0, I). *All codes to "
        "N(0, I)* is a KL divergence in closed form: of the Gaussian with the mean and covariance "
        "of z over all test digits, noise included. *Reconstruction* decodes the mean, *with "
        "noise* z = mean + exp(log_var / 2) eps: only a decoder that grew up with the noise can "
        f"bear it. *Draws read*: the share of 1,000 in which a classifier is {CONFIDENT:.0%} sure "
        "of one digit. To be sure is not enough, the same clear 1 over and over would do; so "
        "*draws to digits* compares them all with real digits (Fréchet distance, less is better)."
    )
    gr.api(lanes.checked(api_ablate), api_name="ablate", queue=False)
