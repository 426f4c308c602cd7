"""The noise schedules side by side: on one picture, along time, and as curves."""

import gradio as gr
import numpy as np
import torch

from diffuser.schedules import SCHEDULES, log_snr
from diffuser.ui import gate, show
from diffuser.ui.components import Curves, LivePicture, tell
from diffuser.ui.forward_picture import chosen_picture, noised

NAMES = {
    "linear": "linear (DDPM)",
    "scaled-linear": "scaled linear",
    "cosine": "cosine",
    "sigmoid": "sigmoid",
    "vp": "VP",
    "sub-vp": "sub-VP",
    "ve": "VE",
    "flow": "flow",
    "zero-snr": "zero terminal SNR",
}
CHOICES = [(NAMES.get(name, name), name) for name in SCHEDULES]
MOMENTS = 11  # pictures in a film
POINTS = 101
FLOOR = 15.0  # log-SNR is drawn from -15 to 15


def at_time(args: dict) -> dict:
    """One picture under every schedule at the same t, with the same noise."""
    t, seed = gate.number("t", args.get("t", 0.3)), gate.seed(args.get("seed", 0))
    x0 = chosen_picture(args)
    frames = []
    for title, name in CHOICES:
        m = noised(x0, t, name, seed)
        frames.append(show.frame(m.xt, title, "xt", -m.shown, m.shown))
    return {"frames": frames}


def along_time(args: dict) -> dict:
    """One picture under every schedule from t = 0 to 1, a strip each, with the same noise."""
    seed, x0 = gate.seed(args.get("seed", 0)), chosen_picture(args)
    frames = []
    for title, name in CHOICES:
        film = []
        for t in np.linspace(0, 1, MOMENTS):
            m = noised(x0, float(t), name, seed)
            film.append(show.pictures(m.xt, -m.shown, m.shown)[0])
        frames.append(show.frame(np.stack(film), title, "xt", columns=MOMENTS))
    return {"frames": frames}


def lines(which: int) -> list[dict]:
    """Every schedule's curve of alpha (0), sigma (1) or log-SNR (2) over t, at 101 times."""
    t = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    made = []
    for k, (title, name) in enumerate(CHOICES):
        schedule = SCHEDULES[name]
        y = schedule(t)[which] if which < 2 else log_snr(schedule, t)
        # Beyond the frame a curve is clipped anyway; JSON knows no infinity.
        y = y.nan_to_num(0.0, 99.0, -99.0).clamp(-99, 99)
        points = [[round(a, 3), round(b, 4)] for a, b in zip(t.tolist(), y.tolist(), strict=True)]
        made.append({"name": title, "colour": f"class-{k}", "points": points})
    return made


def panels() -> list[dict]:
    """Curves of alpha, sigma and log-SNR of all schedules, for `Curves`."""
    ticks = [[0, "0"], [0.5, "t = 0.5"], [1, "1"]]
    return [
        {"title": title, "x": [0, 1], "y": y, "yticks": marks, "xticks": ticks, "lines": lines(k)}
        for k, (title, y, marks) in enumerate(
            (
                ("α, how much picture", [0, 1.05], [0, 0.5, 1]),
                ("σ, how much noise", [0, 1.05], [0, 0.5, 1]),
                ("log-SNR, ln(α²/σ²)", [-FLOOR, FLOOR], [-10, 0, 10]),
            )
        )
    ]


def build() -> tuple[LivePicture, LivePicture]:
    """The section's components; returns its two views."""
    gr.Markdown(
        "## Nine timetables for the same noise\n"
        "The same picture, the same ε, the same t: only the **schedule** differs. Move t and see "
        "who is still recognisable. The linear table has destroyed the picture long before the "
        "end, cosine and sigmoid spend their time more evenly, and VE never fades it but drowns it "
        "(its σ rises to 50 and leaves the panel)."
    )
    args = {"source": "digit", "digit": 7, "t": 0.3}
    now = LivePicture("forward-schedules", at_time, args)
    here = gr.Slider(0, 1, value=0.3, step=0.001, label="Time t")
    Curves("forward-curves", panels(), t=0.3, chosen=NAMES["linear"])
    now.follow(t=here)
    tell(here, "forward-curves", "t")
    gr.Markdown("The whole way, from t = 0 on the left to t = 1 on the right:")
    films = LivePicture("forward-films", along_time, args)
    return now, films
