"""Part of the tab *Hierarchy*: what each level knows and costs, and drawing from the top down."""

import secrets

import gradio as gr
import torch

from diffuser.ui import gate, lanes, levels, show
from diffuser.ui.components import LivePicture, Player

PICTURES = 8
KNOWN = (
    "nothing: every level at its prior's mean",
    "level 1: 4 numbers",
    "levels 1 and 2: 12 numbers",
    "levels 1 to 3: 28 numbers",
    "all levels: 60 numbers",
)


def bars(own: list[float], usual: list[float]) -> dict:
    """A panel: for each level the nats of this picture beside the mean of the test digits."""
    top = max(1.0, 1.1 * max(own + usual))
    drawn = []
    for k, pair in enumerate(zip(own, usual, strict=True)):
        for i, (height, colour) in enumerate(zip(pair, ("q-variance", "soft"), strict=True)):
            drawn.append([k + 0.15 + 0.35 * i, k + 0.5 + 0.35 * i, height, colour])
    return {
        "title": "KL of each level, in nats",
        "x": [0, len(own)],
        "y": [0, top],
        "xticks": [[k + 0.5, f"level {k + 1}"] for k in range(len(own))],
        "yticks": [0, round(top / 2.2), 2 * round(top / 2.2)],
        "bars": drawn,
    }


def nats(args: dict) -> dict:
    """What levels 1..k of A know, for k = 0..4, and the negative ELBO of A term by term."""
    a = levels.picture(args)
    terms, usual = levels.nats(a), levels.usual_nats()
    names = [f"kl_{k}" for k in range(1, levels.COUNT + 1)]
    parts = [terms[name].mean().item() for name in ("reconstruction", *names)]
    z = levels.latents_of(a)
    frames = [
        show.frame(levels.known(z, k), words, "x0" if k == levels.COUNT else "mean")
        for k, words in enumerate(KNOWN)
    ]
    numbers = [
        [
            f"level {k}",
            f"{levels.with_error(terms[name])} nats, test digits {levels.with_error(usual[name])}",
            "variance",
        ]
        for k, name in enumerate(names, 1)
    ]
    total, all_usual = sum(terms.values()), sum(usual.values())
    numbers.append(
        [
            "negative ELBO",
            f"{levels.with_error(total)} nats, test digits {levels.with_error(all_usual)}",
            None,
        ]
    )
    return {
        "frames": frames,
        "formula": [
            ["−ELBO  =  ", None],
            ["reconstruction", "x0"],
            ["  +  ", None],
            ["KL₁ + KL₂ + KL₃ + KL₄", "variance"],
            [f"  =  {' + '.join(f'{part:.1f}' for part in parts)}", None],
            [f"  =  {sum(parts):.1f} nats", None],
        ],
        "curves": [bars(parts[1:], [usual[name].mean().item() for name in names])],
        "numbers": numbers,
    }


def moment(
    run: str, k: int, t: float, drawn: list[torch.Tensor], x0: torch.Tensor, seed: int
) -> str:
    """Step k of a run for the player: the pictures, and the latents drawn by then."""
    words = f"level {k} drawn: {levels.SIZES[k - 1]} numbers" if k else "nothing drawn yet"
    frames = [
        show.frame(x0, "x₀, what is known", "x0", columns=PICTURES),
        show.frame(levels.bands(drawn, PICTURES), "z, drawn so far", "z", columns=PICTURES),
    ]
    numbers = [("level", f"{k} of {levels.COUNT}, {words}", "z"), ("seed", str(seed), None)]
    return Player.step(run, k, levels.COUNT, frames, t, numbers)


def draws(seed: int, temperature: float) -> str:
    """Eight digits from the prior, one step a level, as the value of the player.

    Step 0 is before anything is drawn; step k is the k-th Step of the network's `sample`.
    """
    seed, warm = gate.seed(seed), gate.number("temperature", temperature)
    net, run = levels.network(), secrets.token_hex(8)
    with torch.no_grad():
        steps = [moment(run, 0, 1.0, [], net.walk(PICTURES)[1].sigmoid(), seed)]
    drawn: list[torch.Tensor] = []
    for k, step in enumerate(net.sample(PICTURES, seed, warm), 1):
        drawn.append(step.x)
        steps.append(moment(run, k, step.t.item(), drawn, step.x0, seed))
    return f"[{','.join(steps)}]"


def build(digit: int) -> None:
    """The sections' components; the first follows the tab's picture A."""
    gr.Markdown("## What each level knows, and what it costs")
    LivePicture("hierarchy-nats", nats, {"digit": digit, "px": None})
    gr.Markdown(
        "From left to right one more level of A is told, and the levels below stay at their "
        "priors' means. The KL of a level is the price of telling it, in nats: blue for your "
        "picture, grey for the mean of 500 test digits. **Draw something that is no digit** as A "
        "and see which level pays. (Cut at one half, digits are smoother than those binarised at "
        "random that it learned from; so these figures lie below those of its card.)"
    )
    gr.Markdown("## Drawn from the top down")
    player = Player("hierarchy-player")
    with gr.Row():
        again = gr.Button("Draw new ones", variant="primary", elem_id="hierarchy-again")
        warm = gr.Slider(0, 2, value=1, step=0.05, label="Temperature", min_width=220)
        seed = gr.Number(0, label="Seed (−1 = random)", precision=0, min_width=160)
    gr.Markdown(
        "No picture is given here: each level is drawn from its prior, one step a level, and the "
        "stripes fill from the top. **Step back and forth**: after level 1 most digits can be "
        "read, levels 2 and 3 settle what was left open, level 4 takes a thin or a bold pen. A "
        "diffusion model walks the same road in many more steps."
    )
    again.click(
        None, None, seed, js="() => Math.floor(Math.random() * 4294967296)", queue=False,
        api_visibility="private",
    )  # fmt: skip
    for event in (player.start, seed.change, warm.change):
        event(
            lanes.checked(draws),
            [seed, warm],
            player,
            trigger_mode="always_last",
            api_visibility="private",
            **lanes.LIGHT,
        )
