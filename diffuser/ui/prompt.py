"""Tab *Words to picture*: a prompt becomes tokens, latents and, step by step, a picture."""

import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from functools import cache

import gradio as gr
from gradio.context import get_blocks_context

from diffuser.samplers import SAMPLERS
from diffuser.ui import gate, lanes, show
from diffuser.ui.components import NOTE, Player, message, script
from diffuser.ui.drawing import STYLES, Settings, clean, draw, generate, words

EXAMPLES = (  # prompt, style, seed
    ("a purple car", "flat", 1),
    ("red heart", "3d", 2),
    ("cat face", "noto", 4),
    ("house", "noto", 6),
    ("bus", "flat", 5),
    ("a pink house", "3d", 5),
    ("deciduous tree", "flat", 4),
    ("grinning face", "blob", 2),
)
SECONDS = 120.0  # the longest a job may take
PNG_SCALE = 8  # a saved file is 512 pixels wide, each pixel of the picture kept as a square


def file_name(settings: Settings, seed: int) -> str:
    """A safe name from any prompt: at most 40 plain letters and digits, then the seed."""
    plain = re.sub(r"[^a-z0-9]+", "-", settings.text.lower())[:40].strip("-")
    return f"{plain or 'picture'}-{seed}.png"


def progress(settings: Settings, i: int, seconds: float) -> str:
    """How far a run is and what is left of it; `seconds` since it began."""
    if i < settings.steps:
        left = seconds / (i + 1) * (settings.steps - i)
        return f"Step {i} of {settings.steps}, about {left:.1f} s left"
    seeds = f"seed {settings.seed}"
    if settings.pictures > 1:
        seeds = f"seeds {settings.seed} to {settings.seed + settings.pictures - 1}"
    return f"Drawn in {seconds:.1f} s: {seeds}, {settings.steps} steps of {settings.sampler}"


def scenes(settings: Settings) -> Iterator[tuple[str, str] | None]:
    """The values of the player and of `Outcome` at each step; None where nothing is to show."""
    run, began, said = secrets.token_hex(8), time.monotonic(), words(settings)
    for drawing in draw(settings):
        if drawing is None:
            yield None
            continue
        i, t, pictures, latents = drawing
        seeds = [settings.seed + k for k in range(settings.pictures)]
        frames = [
            show.frame(picture[None], f"seed {seed}")
            for seed, picture in zip(seeds, pictures, strict=True)
        ]
        frames.append(show.frame(latents, "latents, four channels each", "z", columns=len(latents)))
        news = {
            "run": run,
            "busy": i < settings.steps,
            "status": progress(settings, i, time.monotonic() - began),
            "seed": settings.seed,
            **said,
        }
        if i == settings.steps:
            news["files"] = [
                {
                    "name": file_name(settings, seed),
                    "label": "Save PNG" if len(seeds) == 1 else f"Save {seed}",
                    "data": show.base64_of(show.png(picture, PNG_SCALE)),
                }
                for seed, picture in zip(seeds, pictures, strict=True)
            ]
        yield Player.step(run, i, settings.steps, frames, t), json.dumps(news)


def page_run(*values: object) -> Iterator[tuple]:
    """The run of the page, from the raw values of its controls."""
    for scene in scenes(clean(*values)):
        yield (None, None) if scene is None else scene  # nothing new: the page keeps its steps


_opening_lock = threading.Lock()


@cache
def _first_scene() -> tuple[str, str]:
    prompt, style, seed = EXAMPLES[0]
    made = [s for s in scenes(clean(prompt, "", style, 20, 4.0, "dpmpp-2m", seed, 1)) if s]
    return f"[{','.join(step for step, _ in made)}]", made[-1][1]


def opening() -> tuple[str | None, str]:
    """A finished example, drawn once in the life of the program; or a word where it cannot be."""
    try:
        with _opening_lock:
            return _first_scene()
    except gate.BadInput as absent:
        return None, json.dumps({"note": str(absent)})


class Outcome(gr.HTML):
    """Words and files beside a drawing: progress, the tokens that were read, PNG files to save.

    Its value is JSON text {"run", "busy", "status", "note", "tokens", "cut", "files", "seed"}.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            html_template='<p class="status" aria-live="off"></p><p class="files"></p>'
            f'{NOTE}<p class="tokens" dir="auto" aria-label="Tokens read"></p>',
            js_on_load=script("prompt.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            name=name,
        )


class Chips(gr.HTML):
    """A row of examples to click; its value is the number of the last one, event `input`."""

    def __init__(self, name: str, labels: list[str]) -> None:
        super().__init__(
            html_template='<div class="chips" role="group" aria-label="Examples"></div>',
            js_on_load=script("chips.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            labels=labels,
        )


def example(number: object) -> tuple[str, str, str, int, int]:
    """Prompt, negative prompt, style, seed and number of pictures of one of `EXAMPLES`."""
    if not isinstance(number, int) or not 0 <= number < len(EXAMPLES):
        raise gate.BadInput(f"example must be a whole number from 0 to {len(EXAMPLES) - 1}.")
    prompt, style, seed = EXAMPLES[number]
    return prompt, "", style, seed, 1


def kept_seed(outcome: object) -> int:
    """The seed of the picture that stands on the page, or -1 where there is none."""
    try:
        return gate.seed(json.loads(outcome)["seed"])
    except (TypeError, ValueError, KeyError):
        return -1


def refuse_early(*values: object) -> list[dict]:
    """Before `/generate` queues: bad values are refused at once, however long the queue is."""
    answers = [gr.validate(True, "") for _ in values]
    try:
        clean(*values)
    except gate.BadInput as trouble:
        names = [field.name for field in fields(Settings)]
        at = next((i for i, name in enumerate(names) if name in str(trouble)), 0)
        answers[at] = gr.validate(False, str(trouble))
    return answers


def build() -> None:
    """The tab's components and their connections."""
    chips = Chips("prompt-chips", [prompt for prompt, _, _ in EXAMPLES])
    with gr.Row():
        with gr.Column(scale=6, min_width=320):
            player = Player("prompt-player")
        with gr.Column(scale=5, min_width=300):
            prompt = gr.Textbox(
                EXAMPLES[0][0], label="Words", lines=1, max_lines=6, elem_id="prompt-text"
            )
            with gr.Row():
                go = gr.Button("Draw", variant="primary", elem_id="prompt-go", min_width=90)
                stop = gr.Button("Stop", elem_id="prompt-stop", min_width=90)
            outcome = Outcome("prompt-outcome")
            with gr.Row():
                style = gr.Dropdown(
                    list(STYLES), value=EXAMPLES[0][1], label="Style", min_width=120
                )
                pictures = gr.Slider(1, 9, 1, step=1, label="Pictures", buttons=[], min_width=120)
            with gr.Row():
                seed = gr.Number(
                    EXAMPLES[0][2],
                    label="Seed (−1 = random)",
                    precision=0,
                    elem_id="prompt-seed",
                    min_width=120,
                )
                keep = gr.Button("Keep this seed", size="sm", elem_id="prompt-keep", min_width=120)
            with gr.Accordion("More", open=False):
                negative = gr.Textbox(label="Not this (negative prompt)", max_lines=4)
                with gr.Row():
                    steps = gr.Slider(1, 100, 20, step=1, label="Steps", buttons=[])
                    guidance = gr.Slider(-2, 12, 4.0, step=0.5, label="Guidance w", buttons=[])
                sampler = gr.Dropdown(list(SAMPLERS), value="dpmpp-2m", label="Sampler")
    gr.Markdown(
        "The words are cut into **tokens**, a small text encoder gives each a vector, and a "
        "network trained on emoji removes noise from a 16 x 16 x 4 **latent**, step by step, while "
        "it looks at these vectors; a decoder makes the latent a picture. At each step you see the "
        "network's present guess of the finished picture. **Scrub back** to the first one: it sees "
        "only noise there, and blends all that the words could mean. Guidance w is diffusers' "
        "convention, u + w (c - u): at 1 the words are followed as they were learned, above 1 they "
        "are exaggerated, at 0 they are ignored."
    )

    inputs = [prompt, negative, style, steps, guidance, sampler, seed, pictures]
    run = {
        "fn": lanes.heavy(SECONDS)(page_run),
        "inputs": inputs,
        "outputs": [player, outcome],
        "show_progress": "hidden",
        "api_visibility": "private",
        **lanes.HEAVY,
    }
    drawn = gr.on([go.click, prompt.submit], **run)
    light = {"api_visibility": "private", **lanes.LIGHT}
    chosen = chips.input(
        lanes.checked(example), chips, [prompt, negative, style, seed, pictures], **light
    ).then(**run)
    stopped = message("prompt-outcome", "{stopped: true}")
    stop.click(None, None, None, cancels=[drawn, chosen], js=f"() => {{ {stopped} }}", queue=False)
    keep.click(lanes.checked(kept_seed), outcome, seed, **light)
    player.start(lanes.checked(opening), None, [player, outcome], **light)

    served = gr.api(lanes.heavy(SECONDS)(generate), api_name="generate", **lanes.HEAVY)
    get_blocks_context().fns[served["id"]].validator = refuse_early  # gr.api has no such argument
