"""Part of the tab *Latent space*: three ways from one digit to another."""

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from diffuser.ui import gate, show
from diffuser.ui.coder import MODELS, decode, digits, encode
from diffuser.ui.components import LivePicture

START = {"a": 32, "b": 20, "model": "vae-20d"}
FRAMES = 11


def straight(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 - t) a + t b for each t (n,): (n, ...)."""
    t = t.view(-1, *[1] * a.ndim)
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the arc between the directions of a and b (d,): (n, d); straight where they agree."""
    angle = torch.acos(torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1))
    if angle.sin() < 1e-4:  # parallel or opposite: no single arc
        return straight(a, b, t)
    t = t[:, None]
    return (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()


def paths(model: str, a: int, b: int, frames: int) -> dict[str, Tensor]:
    """From test digit a to b: {"straight", "slerp", "pixels"}, each (frames, 1, 28, 28)."""
    pair = digits()[0][[a, b]]
    (za, zb), t = encode(model, pair)[0], torch.linspace(0, 1, frames)
    return {
        "straight": decode(model, straight(za, zb, t)),
        "slerp": decode(model, slerp(za, zb, t)),
        "pixels": straight(pair[0], pair[1], t),
    }


def there_and_back(found: dict[str, Tensor]) -> bytes:
    """The three paths side by side as a GIF that goes and returns."""
    rows = [show.pictures(x) for x in found.values()]
    scenes = [show.strip(np.stack(at), gap=2) for at in zip(*rows, strict=True)]
    return show.gif(scenes + scenes[-2:0:-1])


def path_view(args: dict) -> dict:
    """The three strips and the GIF."""
    model = gate.choice("model", args.get("model"), MODELS)
    a, b = gate.whole("digit", args.get("a")), gate.whole("digit", args.get("b"))
    found = paths(model, a, b, FRAMES)
    names = {
        "straight": "straight line in latent space",
        "slerp": "arc in latent space (slerp)",
        "pixels": "cross-fade of pixels",
    }
    frames = [
        show.frame(x, names[k], "x0" if k == "pixels" else "z", columns=FRAMES)
        for k, x in found.items()
    ]
    gif = {"name": "paths.gif", "mime": "image/gif", "data": show.base64_of(there_and_back(found))}
    return {"frames": frames, "file": gif}


def api_interpolate(a: int, b: int, model: str = "vae-20d", frames: int = 11) -> dict:
    """From test digit a to b (0 to 499): strips "straight", "slerp", "pixels" as PNG, and a "gif".

    All are base64. frames: 2 to 33 pictures in each strip.
    """
    model = gate.choice("model", model, MODELS)
    a, b = gate.whole("digit", a), gate.whole("digit", b)
    found = paths(model, a, b, gate.whole("frames", frames))
    strips = {k: show.base64_of(show.png(show.strip(show.pictures(x)))) for k, x in found.items()}
    return {**strips, "gif": show.base64_of(there_and_back(found))}


def build() -> None:
    """The section's components."""
    gr.Markdown("## From one digit to another")
    view = LivePicture("path-view", path_view, START)
    with gr.Row():
        a = gr.Slider(0, 499, START["a"], step=1, label="From test digit")
        b = gr.Slider(0, 499, START["b"], step=1, label="To test digit")
        model = gr.Radio(list(MODELS), value=START["model"], label="Network")
    view.follow(a=a, b=b, model=model)
    gr.Markdown(
        "On a path through latent space the strokes bend from one digit to the other; in pixels "
        "the one fades while the other appears, and halfway both are there. **Try** two digits of "
        "the same class, then a 0 and a 1 with two dimensions: the path must cross other digits."
    )
