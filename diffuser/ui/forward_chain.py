"""The Markov chain of noising beside the closed form, and the check that they are the same."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from diffuser.schedules import SCHEDULES
from diffuser.ui import forward_schedules, gate, show
from diffuser.ui.components import LivePicture, send
from diffuser.ui.forward_picture import chosen_picture, plain

STEPS = (4, 20, 100, 1000)
SHOWN = 9  # states in a strip
QUARTERS = (0.25, 0.5, 0.75, 1.0)
# Bounds that a true identity passes but for about one check in ten thousand, each.
SIGMAS = 4.0
KS_BOUND = math.sqrt(-math.log(1e-4 / 2) / 2)


class Rule(NamedTuple):
    """One chain: x_k = a[k] x_{k-1} + b[k] z_k, and where it should be: alpha[k], sigma[k].

    Each is (steps + 1,), float64; index 0 is the start, x_0 = a[0] * picture + b[0] z_0.
    """

    a: np.ndarray
    b: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray


def rule(schedule: str, steps: int, forget: bool = False) -> Rule:
    """The steps that lead along a schedule (Luo eq. 61-70, for any alpha and sigma).

    a = alpha_k / alpha_{k-1}, b^2 = sigma_k^2 - a^2 sigma_{k-1}^2. `forget` leaves out the
    shrinking (a = 1), which breaks the identity for every schedule that shrinks.
    """
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    alpha, sigma = (v.numpy() for v in SCHEDULES[schedule](times))
    a = np.concatenate([alpha[:1], alpha[1:] / alpha[:-1]])
    before = np.concatenate([[0.0], sigma[:-1]])
    b = np.sqrt(np.clip(sigma**2 - a**2 * before**2, 0, None))
    return Rule(np.ones_like(a) if forget else a, b, alpha, sigma)


class Link(NamedTuple):
    """State k of the chain: x, the noise z added just now, and all noise so far as one eps."""

    k: int
    x: np.ndarray
    z: np.ndarray
    eps: np.ndarray


def walk(x0: np.ndarray, r: Rule, seed: int) -> Iterator[Link]:
    """The chain from x0, any shape: one Link for each k = 0 .. steps.

    eps is what the chain's own draws z_0 .. z_k add up to, divided by sigma_k: standard normal, and
    the closed form with it must give the chain's x.
    """
    rng = np.random.default_rng(seed)
    x, noise = x0, np.zeros_like(x0)
    for k, (a, b) in enumerate(zip(r.a, r.b, strict=True)):
        z = rng.standard_normal(x0.shape)
        x, noise = a * x + b * z, a * noise + b * z
        yield Link(k, x, z, noise / r.sigma[k] if r.sigma[k] > 0 else np.zeros_like(x0))


def settings(args: dict) -> tuple[str, int, int]:
    """Schedule, number of steps and seed, checked."""
    schedule = gate.choice("schedule", args.get("schedule", "linear"), SCHEDULES)
    steps = gate.whole("steps", args.get("steps", 20))
    return schedule, steps, gate.seed(args.get("seed", 0))


def small(x: Tensor) -> np.ndarray:
    """(1, C, H, W) -> (C, h, w), at most 32 pixels a side: a thousand steps must follow a drag."""
    if x.shape[-1] > 32:
        x = torch.nn.functional.interpolate(x, (32, 32), mode="area")
    return x[0].numpy()


def draw(args: dict) -> dict:
    """Step k of the chain, taken apart, and both ways to nine moments as strips."""
    schedule, steps, seed = settings(args)
    k = max(1, round(gate.number("t", args.get("far", 0.4)) * steps))
    x0, r = small(chosen_picture(args)), rule(schedule, steps)
    moments = {round(steps * i / (SHOWN - 1)) for i in range(SHOWN)}
    kept = {m.k: m for m in walk(x0, r, seed) if m.k in moments | {k - 1, k}}
    apart = max(
        np.abs(m.x - r.alpha[m.k] * x0 - r.sigma[m.k] * m.eps).max() / max(1, r.sigma[m.k])
        for m in kept.values()
    )
    shown = [kept[i] for i in sorted(moments)]
    fresh = np.random.default_rng([seed, 1]).standard_normal((len(shown), *x0.shape))

    def scaled(x: np.ndarray, at: int) -> np.ndarray:
        limit = r.alpha[at] + 2 * r.sigma[at]
        return show.pictures(x, -limit, limit)[0]

    strips = (
        ("by the chain, one small step after another", [scaled(m.x, m.k) for m in shown]),
        (
            "at once, αₖ x₀ + σₖ ε with the chain's own noises added up into one ε: the same",
            [scaled(r.alpha[m.k] * x0 + r.sigma[m.k] * m.eps, m.k) for m in shown],
        ),
        (
            "at once, with fresh ε: other grains, the same law",
            [
                scaled(r.alpha[m.k] * x0 + r.sigma[m.k] * e, m.k)
                for m, e in zip(shown, fresh, strict=True)
            ],
        ),
    )
    frames = [
        show.frame(scaled(kept[k - 1].x, k - 1)[None], f"before: x, step {k - 1}", "xt"),
        show.frame(kept[k].z, "z, the noise of this step", "eps", -2, 2),
        show.frame(scaled(kept[k].x, k)[None], f"after: x, step {k} of {steps}", "xt"),
    ]
    frames += [
        show.frame(np.stack(batch), name, "xt", columns=len(batch)) for name, batch in strips
    ]
    return {
        "frames": frames,
        "formula": [
            ["xₖ", "xt"],
            [f"  =  {plain(r.a[k], 4)} · ", None],
            ["xₖ₋₁", "xt"],
            [f"  +  {plain(r.b[k], 4)} · ", None],
            ["zₖ", "eps"],
        ],
        "numbers": [
            ["step", f"{k} of {steps}", "xt"],
            ["αₖ", plain(r.alpha[k]), "x0"],
            ["σₖ", plain(r.sigma[k]), "eps"],
            ["largest difference, chain against closed form", f"{apart:.0e}", None],
        ],
    }


def ks_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sample Kolmogorov-Smirnov statistic: the largest gap between the two distributions."""
    first, second = np.sort(first), np.sort(second)
    both = np.concatenate([first, second])
    below = [np.searchsorted(s, both, side="right") / len(s) for s in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def check(schedule: str, steps: int, seed: int, forget: bool = False) -> list[dict]:
    """The identity at four times: {"t", "draws", "mean", "variance", "ks", ...} of one pixel.

    The pixel is white, x0 = 1; the chain is walked with many independent noises and compared with
    N(alpha, sigma^2): its mean, its variance, and by a KS test with as many draws of the closed
    form. Each statistic comes with its expected value and its tolerance.
    """
    draws = 20_000 if steps <= 100 else 4_000
    r = rule(schedule, steps, forget)
    at = {max(1, round(q * steps)): q for q in QUARTERS}
    rng = np.random.default_rng([seed, 2])
    found = []
    for link in walk(np.ones(draws), r, seed):
        if link.k not in at:
            continue
        alpha, sigma = r.alpha[link.k], r.sigma[link.k]
        found.append(
            {
                "t": at[link.k],
                "x": link.x,
                "alpha": alpha,
                "sigma": sigma,
                "mean": link.x.mean(),
                "mean_tolerance": SIGMAS * sigma / math.sqrt(draws),
                "variance": link.x.var(ddof=1),
                "variance_tolerance": SIGMAS * sigma**2 * math.sqrt(2 / (draws - 1)),
                "ks": ks_distance(link.x, alpha + sigma * rng.standard_normal(draws)),
                "ks_tolerance": KS_BOUND * math.sqrt(2 / draws),
            }
        )
    return found


def row(name: str, found: float, expected: float, tolerance: float, digits: int) -> dict:
    """One line of the table; `ok` is whether found is within tolerance of expected."""
    return {
        "name": name,
        "found": plain(found, digits),
        "expected": plain(expected, digits),
        "tolerance": f"± {tolerance:.{digits}f}",
        "ok": bool(abs(found - expected) <= tolerance),
    }


def histogram(f: dict) -> dict:
    """A panel: bars for the chain's draws, the line of the closed form's density."""
    low, high = f["alpha"] - 4 * f["sigma"], f["alpha"] + 4 * f["sigma"]
    heights, edges = np.histogram(f["x"], 40, (low, high))
    heights = heights / len(f["x"]) / (edges[1] - edges[0])
    x = np.linspace(low, high, 81)
    peak = 1 / (f["sigma"] * math.sqrt(2 * math.pi))
    y = peak * np.exp(-0.5 * ((x - f["alpha"]) / f["sigma"]) ** 2)
    bars = zip(edges[:-1].tolist(), edges[1:].tolist(), heights.tolist(), strict=True)
    return {
        "title": f"t = {f['t']:g}",
        "x": [low, high],
        "y": [0, 1.15 * peak],
        "xticks": [[v, plain(v, 1)] for v in (low, float(f["alpha"]), high)],
        "yticks": [0],
        "bars": [list(bar) for bar in bars],
        "lines": [
            {"name": "density", "colour": "q-mean", "points": np.stack([x, y], 1).tolist()},
        ],
    }


def identity(args: dict) -> dict:
    """The check as a table and four histograms."""
    schedule, steps, seed = settings(args)
    forget = gate.flag("forget", args.get("forget", False))
    found = check(schedule, steps, seed, forget)
    rows = []
    for f in found:
        name, digits = f"t = {f['t']:g}", 4 if f["sigma"] < 5 else 1
        tolerance = f["mean_tolerance"]
        rows.append(row(f"{name}: mean", f["mean"], f["alpha"], tolerance, digits))
        tolerance = f["variance_tolerance"]
        rows.append(row(f"{name}: variance", f["variance"], f["sigma"] ** 2, tolerance, digits))
        rows.append(row(f"{name}: KS distance", f["ks"], 0, f["ks_tolerance"], 4))
    failed = sum(not r["ok"] for r in rows)
    draws = len(found[0]["x"])
    verdict = "All checks hold." if not failed else f"{failed} of {len(rows)} checks fail."
    return {
        "frames": [],
        "curves": [histogram(f) for f in found],
        "checks": rows,
        "note": f"{verdict} {draws:,} chains of {steps} steps, schedule {schedule}, seed {seed}; "
        "a true identity fails by chance in about one run of a thousand.",
    }


def build() -> LivePicture:
    """The section's components; returns the view that follows the picture's settings."""
    gr.Markdown(
        "## One step after another, or all at once\n"
        "The theory begins with a chain: each step shrinks the picture a little and adds a little "
        "noise. **Move along the chain** and compare the strips: added up, its many small noises "
        "are one single ε, so the second strip repeats the first to the last digit a computer "
        "keeps. That is why training may jump to any t at once."
    )
    args = {"source": "digit", "digit": 7, "steps": 20, "far": 0.4}
    view = LivePicture("forward-chain", draw, args)
    with gr.Row():
        far = gr.Slider(0, 1, value=0.4, step=0.001, label="How far along the chain (t)")
        steps = gr.Radio(list(STEPS), value=20, label="Steps of the chain")
    view.follow(far=far, steps=steps)
    gr.Markdown(
        "### Is it really the same? The numbers\n"
        "One white pixel, thousands of chains, four moments. The bars are the chain, the line is "
        "what the closed form promises. Then **break the chain** by leaving out the shrinking: the "
        "noise stays, the mean is wrong, and the table says so. (Of the schedules only VE never "
        "shrinks, so there the break changes nothing.)"
    )
    bench = LivePicture("forward-identity", identity, {"steps": 20, "forget": False})
    with gr.Row():
        schedule = gr.Dropdown(forward_schedules.CHOICES, value="linear", label="Noise schedule")
        forget = gr.Checkbox(False, label="Leave out the shrinking", elem_id="forward-forget")
        again = gr.Button("Draw again")
    send(again, "forward-identity", {"seed": -1})
    bench.follow(steps=steps, schedule=schedule, forget=forget)
    return view
