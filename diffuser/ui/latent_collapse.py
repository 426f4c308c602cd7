"""Part of the tab *Latent space*: posterior collapse, as the weight of the KL term grows."""

import gradio as gr
import torch
from torch import Tensor

from diffuser.ablations import BETAS, FAMILY
from diffuser.ui import gate, show
from diffuser.ui.coder import ACTIVE, decode, digits, encode
from diffuser.ui.components import LivePicture
from diffuser.ui.latent_ablations import measured, statistics

WEIGHTED = {f"beta-{b:g}": f"{b:g}" for b in BETAS}
"""The members of the bench, and how the page calls their beta."""
FREE = FAMILY["free-nats"]
TWIN = f"beta-{FREE.beta:g}"
"""The member that differs from the one with free nats in that alone."""
TWINS = {TWIN: f"β = {FREE.beta:g}", "free-nats": f"β = {FREE.beta:g}, free nats"}
NAMES = WEIGHTED | {"free-nats": f"{FREE.beta:g} with free nats"}
START = {"member": "beta-1"}


def ten() -> Tensor:
    """The first test digit of each class, (10, 1, 28, 28)."""
    x, classes = digits()
    return x[[int((classes == k).nonzero()[0]) for k in range(10)]]


def carried(member: str) -> list[float]:
    """KL of each dimension in nats, most first."""
    kl = statistics(member).kl
    assert kl is not None
    return kl.sort(descending=True).values.tolist()


def units(member: str, title: str, top: float | None = None) -> dict:
    """The KL of each dimension as bars, most first."""
    kl = carried(member)
    marks = ["1", *[""] * (len(kl) - 2), str(len(kl))]
    return show.bars(title, kl, marks, top or max(kl[0], 0.1))


def strips(member: str) -> list[dict]:
    """What the member makes of the ten digits, and what it draws from N(0, I), as two frames."""
    again = decode(member, encode(member, ten())[0])
    z = torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    drawn = decode(member, z)
    return [
        show.frame(again, "decoded from their means", "mean", columns=10),
        show.frame(drawn, "drawn from N(0, I)", "z", columns=10),
    ]


def chosen(args: dict) -> str:
    """The member that args name."""
    return gate.choice("member", args.get("member"), NAMES)


def bench(args: dict) -> dict:
    """One beta: ten digits, their reconstructions, samples, and what they cost."""
    member = chosen(args)
    s = statistics(member)
    return {
        "frames": [show.frame(ten(), "test digits", "x0", columns=10), *strips(member)],
        "numbers": [
            ["reconstruction", f"{s.at_draw:.1f} nats", "x0"],
            ["KL", f"{sum(carried(member)):.2f} nats", "variance"],
            ["active units", f"{s.active} of 10", "mean"],
            ["draws to digits, Fréchet", f"{measured()[member]['prior_frechet']:.1f}", "z"],
        ],
    }


def costs(args: dict) -> dict:
    """Where the nats go: in the dimensions of one member, and over all members."""
    member = chosen(args)
    everyone = [statistics(name) for name in NAMES]
    at, marks = list(NAMES).index(member), [*WEIGHTED.values(), "free"]
    losses, kls = [e.at_draw for e in everyone], [sum(carried(name)) for name in NAMES]
    top = 1.5 * kls[list(NAMES).index("beta-1")]  # what costs nothing may rise beyond
    return {
        "frames": [],
        "curves": [
            units(member, f"β = {NAMES[member]}: KL of each dimension, nats"),
            show.bars("KL over β, nats", kls, marks, top, at),
            show.bars("reconstruction over β, nats", losses, marks, max(losses), at),
            show.bars("active units over β", [e.active for e in everyone], marks, 10, at),
        ],
    }


def twins(args: dict) -> dict:
    """The collapsed net and the one whose first half nat of each dimension costs nothing."""
    top = max(FREE.free_nats, *(carried(member)[0] for member in TWINS))
    frames, curves = [show.frame(ten(), "test digits", "x0", columns=10)], []
    for member, name in TWINS.items():
        again = strips(member)[0]
        frames.append({**again, "name": f"{name}: {again['name']}"})
        curves.append(units(member, f"{name}: KL of each dimension, nats", top))
    return {"frames": frames, "curves": curves}


def build() -> None:
    """The section's components."""
    gr.Markdown("## Posterior collapse")
    view = LivePicture("collapse", bench, START)
    choices = [(name, member) for member, name in NAMES.items()]
    member = gr.Radio(
        choices, value=START["member"], label="Weight β of the KL term", elem_id="collapse-member"
    )
    view.follow(member=member)
    LivePicture("collapse-costs", costs, START).follow(member=member)
    gr.Markdown(
        "Ten dimensions, and β says what a nat of them costs. At 0 they are free: the encoder "
        "spends so many that the bar leaves its panel, and N(0, I) draws scribbles. **Raise β**: "
        "one dimension after another no longer pays its way, its posterior becomes the prior, the "
        "same for every picture, and the decoder stops listening. In the end nothing is left to "
        "tell digits apart, and one grey average answers all. That is posterior collapse. A unit "
        f"counts as active where its mean varies by more than {ACTIVE:g} over the 500 test digits."
    )
    gr.Markdown("### A way out: free nats")
    LivePicture("collapse-twins", twins, {})
    gr.Markdown(
        f"The same weight, β = {FREE.beta:g}, but the first {FREE.free_nats:g} nats of each "
        "dimension cost nothing (Kingma et al. 2016). No dimension gains by falling silent, so "
        "all ten keep speaking, each about as much as is free."
    )
