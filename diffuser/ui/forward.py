"""Tab *Forward*: how noise enters a picture, at once, step by step, and by each schedule."""

import math

import gradio as gr

from diffuser.schedules import SCHEDULES
from diffuser.ui import forward_chain, forward_schedules, gate, lanes, show
from diffuser.ui.components import DrawPad, LivePicture
from diffuser.ui.forward_picture import (
    OWN_SIZE,
    SCENE_SIZE,
    chosen_picture,
    clothes_are_here,
    greys,
    noised,
    plain,
    signed,
)


def draw(args: dict) -> dict:
    """The picture, the noise and their mixture at time t, for `LivePicture`."""
    t = gate.number("t", args.get("t", 0.3))
    schedule = gate.choice("schedule", args.get("schedule", "linear"), SCHEDULES)
    m = noised(chosen_picture(args), t, schedule, gate.seed(args.get("seed", 0)))
    alpha, sigma = plain(m.alpha), plain(m.sigma)
    return {
        "frames": [
            show.frame(m.x0, "x₀, the picture", "x0", -1, 1),
            show.frame(m.eps, "ε, the noise", "eps", -2, 2),
            show.frame(m.xt, "xₜ, the mixture", "xt", -m.shown, m.shown),
        ],
        "formula": [
            ["xₜ", "xt"],
            ["  =  α ", None],
            ["x₀", "x0"],
            ["  +  σ ", None],
            ["ε", "eps"],
            [f"  =  {alpha} · ", None],
            ["x₀", "x0"],
            [f"  +  {sigma} · ", None],
            ["ε", "eps"],
        ],
        "numbers": [
            ["time t", plain(t), "xt"],
            ["signal α", alpha, "x0"],
            ["noise σ", sigma, "eps"],
            ["log-SNR, ln(α²/σ²)", plain(m.log_snr, 2), None],
        ],
    }


def noise(
    t: float, digit: int = 0, picture: str = "", schedule: str = "linear", seed: int = 0
) -> dict:
    """A picture with noise in it: x_t = alpha x0 + sigma eps, in one step.

    t: time from 0 (the picture) to 1 (noise). digit: which of the 500 shipped test digits, 0 to
    499, when no picture is given. picture: base64 of a PNG, JPEG or WEBP file, with or without a
    data: prefix; it is fitted into 64 x 64 pixels. schedule: linear, scaled-linear, cosine,
    sigmoid, vp, sub-vp, ve, flow or zero-snr. seed: of the noise, -1 draws one.
    Returns x0, eps and x_t as base64 PNG files, alpha, sigma, log_snr (null where infinite), the
    seed used, and shown: x_t is drawn from -shown (black) to +shown (white), eps from -2 to 2.
    """
    t, used = gate.number("t", t), gate.seed(seed)
    schedule = gate.choice("schedule", schedule, SCHEDULES)
    if not picture:
        x0 = signed(greys("digit")[gate.whole("digit", digit)])
    else:
        x0 = signed(show.fit(gate.picture(gate.decoded(picture)), SCENE_SIZE, 3))
    m = noised(x0, t, schedule, used)
    shown = (("x0", m.x0, 1.0), ("eps", m.eps, 2.0), ("x_t", m.xt, m.shown))
    files = {
        name: show.base64_of(show.png(show.pictures(x, -limit, limit)[0]))
        for name, x, limit in shown
    }
    log_snr = m.log_snr if math.isfinite(m.log_snr) else None
    return files | {
        "t": t,
        "alpha": m.alpha,
        "sigma": m.sigma,
        "log_snr": log_snr,
        "schedule": schedule,
        "seed": used,
        "shown": m.shown,
    }


def show_own(source: str) -> dict:
    """The drawing pad is there only for one's own picture."""
    return gr.update(visible=source == "own")


def build() -> None:
    """The tab's components and their connections."""
    sources = [("A digit", "digit"), ("A colour picture", "scene"), ("Your own", "own")]
    if clothes_are_here():
        sources.insert(1, ("A piece of clothing", "clothes"))
    gr.Markdown(
        "**Drag t.** At 0 there is only the picture, at 1 only noise. Notice how long you still "
        "recognise the one in the other, and that every moment is two products and one sum away."
    )
    first = LivePicture("forward-noise", draw, {"source": "digit", "digit": 7, "t": 0.2})
    t = gr.Slider(0, 1, value=0.2, step=0.001, label="Time t", elem_id="forward-t")
    source = gr.Radio(sources, value="digit", label="Picture")
    with gr.Row():
        schedule = gr.Dropdown(
            forward_schedules.CHOICES, value="linear", label="Noise schedule", min_width=160
        )
        digit = gr.Slider(0, 499, value=7, step=1, label="Which one", min_width=160)
        seed = gr.Number(0, label="Seed of the noise (−1 = random)", precision=0, min_width=160)
    followers = ["forward-noise", "forward-chain", "forward-schedules", "forward-films"]
    with gr.Column(visible=False) as own:
        gr.Markdown("Draw here with mouse or finger, or open a picture in colour.")
        DrawPad("forward-paper", followers, {"source": "own"}, size=OWN_SIZE, channels=3)
    source.change(show_own, source, own, api_visibility="private", **lanes.LIGHT)
    first.follow(t=t, source=source, schedule=schedule, digit=digit, seed=seed)
    chain = forward_chain.build()
    chain.follow(source=source, schedule=schedule, digit=digit, seed=seed)
    for view in forward_schedules.build():
        view.follow(source=source, digit=digit, seed=seed)
    gr.api(lanes.checked(noise), api_name="noise", queue=False)
