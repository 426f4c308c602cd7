"""Tab *Hierarchy*: a mixing desk for the levels of a hierarchical VAE."""

import gradio as gr
import torch

from diffuser.likelihood import bernoulli_nll, normal_log_density
from diffuser.ui import gate, hierarchy_nats, lanes, levels, show
from diffuser.ui.coder import digits
from diffuser.ui.components import DrawPad, LivePicture, script, tell
from diffuser.ui.latent_posterior import chosen

DRAWS = 6  # of each kind, in the view of what a level decides
FREE = 0.05  # a number is free where the prior leaves it more standard deviation than this
SUBSCRIPTS = "₁₂₃₄"
WORDS = {"a": "from A", "b": "from B", "resample": "draw", "mean": "mean"}
START = {
    "digit": 5,
    "px": None,
    "b": 20,
    "sources": ["a", "a", "a", "b"],
    "temperature": [1.0] * levels.COUNT,
    "seed": [0] * levels.COUNT,
}


def second(args: dict) -> torch.Tensor:
    """B, as the network gets it."""
    return levels.binary(digits()[0][gate.whole("digit", args.get("b"))][None])


def conditional(k: int) -> str:
    """How the prior of level k (0 the top) is written: p(z₂ | z₁)."""
    above = " ".join(f"z{s}" for s in SUBSCRIPTS[:k])
    return f"p(z{SUBSCRIPTS[k]} | {above})" if above else f"p(z{SUBSCRIPTS[k]})"


def in_nats(value: float) -> str:
    """A log probability as text; large ones without decimals."""
    return f"{value:,.{0 if abs(value) >= 1000 else 1}f}".replace("-", "−")


def room(log_var: torch.Tensor) -> str:
    """How many numbers a level has and how many the prior leaves free, given those above."""
    free = int(((log_var / 2).exp() > FREE).sum())
    return f"{log_var.shape[1]} numbers, {free} free"


def desk(args: dict) -> dict:
    """The mixture of A and B, what is known after each level, and log p(A, z) term by term."""
    a, b = levels.picture(args), second(args)
    origin = levels.sources(args.get("sources"))
    seeds = gate.each("seed", args.get("seed"), levels.COUNT)
    warm = gate.each("temperature", args.get("temperature"), levels.COUNT)
    walked, logits = levels.mix(a, b, origin, warm, seeds)
    z = [latent.z for latent in walked]
    prior = [normal_log_density(v, *p).sum().item() for v, p, _ in walked]
    fit = -bernoulli_nll(logits, a.to(logits.device)).item()
    so_far = [levels.known(z, k) for k in range(1, levels.COUNT)] + [logits.sigmoid()]
    rows = [
        {
            "stripe": show.frame(levels.band(z[k]), "", "z"),
            "picture": show.frame(so_far[k], f"known after level {k + 1}", "x0"),
            "size": room(walked[k].prior[1]),
            "words": f"log {conditional(k)} = {in_nats(prior[k])} nats",
        }
        for k in range(levels.COUNT)
    ]
    answer = {
        "frames": [
            show.frame(logits.sigmoid(), "decoded from the levels as set", "z"),
            show.frame(a, "A", "x0"),
            show.frame(b, "B", "x0"),
        ],
        "formula": [
            ["log p(A, z)  =  log p(", None],
            ["A", "x0"],
            [" | ", None],
            ["z", "z"],
            [")  +  Σₖ log p(", None],
            ["zₖ", "z"],
            [" | ", None],
            ["z₁ … zₖ₋₁", "z"],
            [f")  =  {in_nats(fit)}  +  ({in_nats(sum(prior))})", None],
            [f"  =  {in_nats(fit + sum(prior))} nats", None],
        ],
        "say": {"hierarchy-desk": {"rows": rows, "seed": seeds}},
    }
    if args.get("px") is None:
        px = show.base64_of(show.pictures(chosen(args)).tobytes())
        answer["say"]["hierarchy-paper"] = {"px": px, "quiet": True}
    return answer


def decided(args: dict) -> dict:
    """A with each level drawn afresh, alone and with all below; and how much of it that changes."""
    z = levels.latents_of(levels.picture(args))
    kept = levels.binary(levels.known(z, levels.COUNT))
    seed = gate.seed(args.get("seed", 0))
    frames = []
    for k in range(levels.COUNT):
        for alone in (True, False):
            drawn = levels.resampled(z, k, alone, DRAWS, seed).cpu()
            share = (levels.binary(drawn) != kept).float().mean().item()
            which = f"level {k + 1} alone" if alone else f"level {k + 1} and all below"
            words = f"{which}: {100 * share:.1f} % of the pixels turn over"
            frames.append(show.frame(drawn, words, "z", columns=DRAWS))
    return {"frames": frames}


def api_levels(
    a: int,
    b: int,
    sources: list[str],
    temperature: float | list[float] = 1.0,
    seed: int | list[int] = 0,
) -> dict:
    """Mixes two digits level by level -> {"png", "kl", "z", "seed"}.

    a, b: test digits, 0 to 499. sources: four of "a", "b", "resample", "mean", the top level
    (4 numbers) first, then those of 8, 16 and 32 numbers. temperature, 0 to 2, and seed, for the
    levels that are resampled: one number, or one for each level; seed -1 draws one. "png": the
    decoded picture, base64. "kl": nats of A in each level. "z": the latents used.
    """
    origin = levels.sources(sources)
    warm = gate.each("temperature", temperature, levels.COUNT)
    seeds = gate.each("seed", seed, levels.COUNT)
    first = levels.picture({"digit": a})
    walked, logits = levels.mix(first, second({"b": b}), origin, warm, seeds)
    terms = levels.nats(first)
    return {
        "png": show.base64_of(show.png(show.pictures(logits.sigmoid())[0])),
        "kl": [terms[f"kl_{k}"].mean().item() for k in range(1, levels.COUNT + 1)],
        "z": [latent.z[0].tolist() for latent in walked],
        "seed": seeds,
    }


def row_of(k: int) -> str:
    """The HTML of one level's controls."""
    ticked = START["sources"][k]
    radios = "".join(
        f'<label><input type="radio" name="hierarchy-level-{k}" value="{name}"'
        f"{' checked' if name == ticked else ''}><span>{words}</span></label>"
        for name, words in WORDS.items()
    )
    name = f"level {k + 1}"
    return (
        f'<div class="level" data-k="{k}"><canvas class="so-far" role="img"></canvas><div>'
        f'<p class="name"><b>Level {k + 1}</b><span class="size">{levels.SIZES[k]} numbers</span>'
        f'<span class="words"></span></p><canvas class="stripe" aria-hidden="true"></canvas>'
        f'<div class="settings"><div class="from" role="radiogroup" aria-label="{name}, from">'
        f'{radios}</div><label class="warm">temperature <output>1.00</output><input type="range" '
        f'min="0" max="2" step="0.05" value="1" aria-label="{name}, temperature"></label>'
        f'<label class="seed">seed <input type="number" min="-1" step="1" value="0" '
        f'aria-label="{name}, seed"></label><button type="button" class="again" '
        f'aria-label="{name}, resample">Resample</button></div></div></div>'
    )


class LevelDesk(gr.HTML):
    """A row of controls for each level; sends {"sources", "temperature", "seed"} to `target`."""

    def __init__(self, name: str, target: str) -> None:
        keys = (
            ("a", "All from A"),
            ("b", "All from B"),
            ("resample", "Draw all"),
            ("mean", "All means"),
        )
        buttons = "".join(f'<button type="button" data-all="{v}">{w}</button>' for v, w in keys)
        rows = "".join(row_of(k) for k in range(levels.COUNT))
        super().__init__(
            html_template=f'<div class="desk">{rows}<div class="keys">{buttons}</div></div>',
            js_on_load=script("level_desk.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            name=name,
            target=target,
        )


def build() -> None:
    """The tab's components and their connections."""
    others = ["hierarchy-picture", "hierarchy-decided", "hierarchy-nats"]
    with gr.Row():
        with gr.Column(scale=2, min_width=280, elem_classes=["beside"]):
            LivePicture("hierarchy-picture", desk, START)
        with gr.Column(scale=3, min_width=300):
            LevelDesk("hierarchy-desk", "hierarchy-picture")
            with gr.Row():
                with gr.Column(scale=2, min_width=200):
                    DrawPad("hierarchy-paper", others)
                with gr.Column(scale=3, min_width=240):
                    a = gr.Slider(0, 499, START["digit"], step=1, label="A: a test digit, or draw")
                    b = gr.Slider(0, 499, START["b"], step=1, label="B: a test digit")
    gr.Markdown(
        "Level 1 speaks first, with four numbers; each level below hears all above it and adds "
        "more. The small pictures show what is known by then. Here A's digit is written with B's "
        "pen: **give level 4 back to A**, then level 1 to B, and compare. **Resample** draws a "
        "level afresh: the stripes above it never move, those below it do where they are drawn. "
        "Temperature 0 is the mean of the prior, 1 the prior itself.\n\n"
        "A number is free where the prior, told all above, leaves it a standard deviation over "
        "0.05. Few are: the others follow from above, so what B says there is thousands of nats "
        "off for A, as log p shows, and yet the picture hardly minds. The network was trained on "
        "black and white pictures, so A and B are cut at one half first. A latent taken from A or "
        "B is the mean of its posterior."
    )
    for name in others:
        tell(a, name, "digit", {"px": None})
    tell(b, "hierarchy-picture", "b")
    gr.Markdown("## What each level decides")
    LivePicture("hierarchy-decided", decided, {"digit": START["digit"], "px": None})
    gr.Markdown(
        "Your picture A, six times, with one level drawn afresh from its prior. **Alone**, the "
        "others keep A's latents: level 1 changes the digit itself, levels 2 and 3 its form, level "
        "4 mostly how bold the pen is. **With all below**, the levels below answer to the new one."
    )
    hierarchy_nats.build(START["digit"])
    gr.api(lanes.checked(api_levels), api_name="levels", queue=False)
