"""Part of the tab *Latent space*: every dimension of a larger VAE, sorted by what it carries."""

from functools import cache

import gradio as gr
import torch
from torch import Tensor

from diffuser.ui import gate, lanes, show
from diffuser.ui.coder import ACTIVE, decode, digits, encode
from diffuser.ui.components import NOTE, LivePicture, script

MODEL, SIZE, STEPS, REACH = "vae-20d", 20, 9, 3.0


@cache
def carried() -> tuple[Tensor, int]:
    """KL of each dimension in nats, the mean over 500 test digits, and how many are active."""
    from diffuser.likelihood import kl_to_standard_normal

    mean, log_var = encode(MODEL, digits()[0])
    assert log_var is not None
    return kl_to_standard_normal(mean, log_var).mean(0), int((mean.var(0) > ACTIVE).sum())


@cache
def home() -> tuple[float, ...]:
    """Where the sliders start: the first test digit's mean, within their reach."""
    mean = encode(MODEL, digits()[0][:1])[0][0]
    return tuple(round(v, 2) for v in mean.clamp(-REACH, REACH).tolist())


def traversals(z: Tensor) -> Tensor:
    """Each dimension of z (20,) moved from -3 to 3, the others kept: (20, 9, 1, 28, 28)."""
    moved = z.repeat(SIZE, STEPS, 1)
    index = torch.arange(SIZE)
    moved[index, :, index] = torch.linspace(-REACH, REACH, STEPS)
    return decode(MODEL, moved.flatten(0, 1)).unflatten(0, (SIZE, STEPS))


def strips(args: dict) -> dict:
    """The rows of the sliders: order by KL, names, and a strip for each dimension."""
    z = gate.vector("z", args.get("z", list(home())), SIZE)
    kl, active = carried()
    order = kl.argsort(descending=True).tolist()
    drawn = show.pictures(traversals(torch.tensor(z)).flatten(0, 1))
    drawn = drawn.reshape(SIZE, STEPS, 28, 28, 1)
    return {
        "z": z,
        "limit": REACH,
        "order": order,
        "names": [f"z{k + 1}, {kl[k]:.2f} nats" for k in order],
        "strips": [show.frame(drawn[k], "", "x0", columns=STEPS) for k in order],
        "summary": f"KL {kl.sum():.1f} nats in all; {active} of {SIZE} dimensions are active.",
    }


def at_vector(args: dict) -> dict:
    """The picture of one vector."""
    z = gate.vector("z", args.get("z", list(home())), SIZE)
    picture = decode(MODEL, torch.tensor([z]))
    length = torch.tensor(z).norm()
    return {
        "frames": [show.frame(picture, "decoded from z")],
        "numbers": [["|z|", f"{length:.2f}, typical {SIZE**0.5:.2f}", "z"]],
    }


class VectorPad(gr.HTML):
    """A slider on a traversal strip for every dimension; sends {"z": [...]} to `target`."""

    def __init__(self, name: str, target: str) -> None:
        keys = (("random", "Randomise"), ("reset", "Reset to 0"), ("copy", "Copy vector"))
        buttons = "".join(f'<button type="button" class="{c}">{text}</button>' for c, text in keys)
        super().__init__(
            html_template=f'<div class="vector"><div class="keys">{buttons}<input class="text" '
            'type="text" spellcheck="false" aria-label="The vector; paste one here"></div>'
            f'<p class="summary"></p><div class="rows"></div></div>{NOTE}',
            js_on_load=script("vector_pad.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            server_functions=[lanes.live(strips)],
            name=name,
            target=target,
        )


def build() -> None:
    """The section's components."""
    gr.Markdown("## Twenty dimensions")
    with gr.Row():
        with gr.Column(scale=1, min_width=260, elem_classes=["beside"]):
            LivePicture("vector-picture", at_vector, {}, at_once=False)
            gr.Markdown(
                "Each row is one dimension from -3 to +3 standard deviations of the prior, the "
                "others kept, and its slider moves along it. They are sorted by the nats they "
                "carry. **Move the first and then the last**: the first change the digit; to the "
                "last the KL term has left next to nothing to say."
            )
        with gr.Column(scale=2, min_width=300):
            VectorPad("vector-pad", "vector-picture")
