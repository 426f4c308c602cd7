"""Tab *Reverse*: from noise to digits, every step shown while it is computed."""

import copy
import math
import secrets
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

import gradio as gr
import torch
from torch import Tensor

import diffuser
from diffuser.diffusion import Diffusion
from diffuser.samplers import SAMPLERS, Step
from diffuser.schedules import SCHEDULES, log_snr
from diffuser.ui import gate, lanes, show
from diffuser.ui.components import Curves, Player, send
from diffuser.ui.forward_picture import plain
from diffuser.ui.gate import BadInput

MODEL = "ddpm-digits"
MOST = 8  # pictures at once; "one of each" is ten
LABELS = ("each", "none", *"0123456789")
SECONDS = 300.0  # the limit of one job


class Settings(NamedTuple):
    """One run, checked: everything that decides what it draws."""

    pictures: int
    label: str
    guidance: float
    sampler: str
    steps: int
    eta: float
    seed: int

    @property
    def classes(self) -> list[int] | None:
        """The class of each picture, or None for no class."""
        if self.label == "none":
            return None
        return list(range(10)) if self.label == "each" else [int(self.label)] * self.pictures


OPENING = Settings(10, "each", 2.0, "ddim", 20, 0.0, 0)


def pictures(value: object) -> int:
    """How many pictures at once, 1 to 8."""
    count = gate.whole("pictures", value)
    if count > MOST:
        raise BadInput(f"pictures must be a whole number from 1 to {MOST}.")
    return count


def settings(*values: object) -> Settings:
    """The seven values of a form or a request, in the order of `Settings`; raises BadInput."""
    made = Settings(*(check(value) for check, value in zip(CHECKS.values(), values, strict=True)))
    if made.label == "each":
        made = made._replace(pictures=10)
    branches = 1 if made.label == "none" or made.guidance in (0, 1) else 2
    gate.budget(made.pictures, made.steps, branches * (2 if made.sampler == "heun" else 1))
    return made


CHECKS: dict[str, Callable[[object], object]] = {
    "pictures": pictures,
    "label": partial(gate.choice, "label", allowed=LABELS),
    "guidance": partial(gate.number, "guidance"),
    "sampler": partial(gate.choice, "sampler", allowed=SAMPLERS),
    "steps": partial(gate.whole, "steps"),
    "eta": partial(gate.number, "eta"),
    "seed": gate.seed,
}


def refusals(*values: object) -> list[dict]:
    """Before the queue: for each value in its order, whether it may pass and, if not, why."""
    words = []
    for check, value in zip(CHECKS.values(), values, strict=True):
        try:
            check(value)
            words.append("")
        except BadInput as error:
            words.append(str(error))
    if not any(words):
        try:
            settings(*values)
        except BadInput as error:  # each value is allowed, all together are too much
            words[list(CHECKS).index("steps")] = str(error)
    return [gr.validate(not word, word) for word in words]


def network() -> tuple[Diffusion, bool]:
    """The model of digits and whether it is trained; without weights, the same network, random.

    Looks anew each time, so weights are used as soon as they are there.
    """
    try:
        return diffuser.load(MODEL), True
    except FileNotFoundError:
        return diffuser.load(MODEL, trained=False), False


def counted(model: Diffusion) -> tuple[Diffusion, Callable[[], int]]:
    """A view of the model that counts its network's evaluations of one picture.

    Guidance other than 0 and 1 takes two, with and without the label. The view shares the weights,
    but the count is its own: jobs beside each other do not see it.
    """
    view, count = copy.copy(model), 0

    def denoise(
        x: Tensor, t: Tensor, label: Tensor | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        nonlocal count
        count += 1 if label is None or guidance in (0, 1) else 2
        return model.denoise(x, t, label, guidance)

    view.denoise = denoise
    return view, lambda: count


class Moment(NamedTuple):
    """Step i of a run, 0..steps, with what the page tells about it."""

    i: int
    step: Step
    t: float
    alpha: float
    sigma: float
    log_snr: float
    evaluations: int


def trajectory(s: Settings, model: Diffusion) -> Iterator[Moment]:
    """steps + 1 Moments from noise to pictures; the same settings give the same bits."""
    view, evaluations = counted(model)
    walk = view.sample(s.pictures, s.classes, s.guidance, s.sampler, s.steps, s.eta, s.seed)
    for i, step in enumerate(walk):
        if not all(v.isfinite().all() for v in (step.x, step.x0, step.eps)):
            raise BadInput(
                f"At step {i} the numbers grew beyond every bound; take a guidance nearer to 1 "
                "or more steps."
            )
        alpha, sigma = (v.item() for v in model.schedule(step.t.double()))
        ratio = 2 * (math.log(alpha) - math.log(sigma)) if sigma > 0 else math.inf
        yield Moment(i, step, step.t.item(), alpha, sigma, ratio, evaluations())


def as_step(m: Moment, s: Settings, run: str, trained: bool) -> str:
    """A Moment as the value of the player: three frames and their numbers."""
    columns = -(-s.pictures // 2) if 4 <= s.pictures <= 6 else s.pictures  # else one row
    limit = m.alpha + 2 * m.sigma
    numbers = [
        ("time t", plain(m.t), "xt"),
        ("signal α", plain(m.alpha), "x0"),
        ("noise σ", plain(m.sigma), "eps"),
        ("log-SNR", plain(m.log_snr, 2), None),
        ("network evaluations a picture", str(m.evaluations), None),
        ("seed", str(s.seed), None),
    ]
    if not trained:
        words = "not here yet: this network is untrained, so it can draw no digits"
        numbers.append(("weights", words, None))
    return Player.step(
        run,
        m.i,
        s.steps,
        [
            show.frame(m.step.x, "xₜ, where we are", "xt", -limit, limit, columns),
            show.frame(m.step.x0, "x₀, what the network expects", "x0", -1, 1, columns),
            show.frame(m.step.eps, "ε, the noise it sees in xₜ", "eps", -2, 2, columns),
        ],
        m.t,
        numbers,
    )


def steps(*values: object) -> Iterator[str]:
    """The run that a form asks for, step by step, for the player."""
    s, run = settings(*values), secrets.token_hex(8)
    model, trained = network()
    for m in trajectory(s, model):
        yield as_step(m, s, run, trained)


@cache
def opening(trained: bool) -> tuple[str, ...]:
    """The scene the tab opens on, computed once in the life of the program."""
    model, _ = network()
    run = f"opening-{trained}"
    return tuple(as_step(m, OPENING, run, trained) for m in trajectory(OPENING, model))


def first_scene() -> Iterator[str]:
    """The steps of the opening scene."""
    _, trained = network()
    yield from opening(trained)


def denoise(
    pictures: int = 1,
    label: str = "none",
    guidance: float = 1.0,
    sampler: str = "ddim",
    steps: int = 20,
    eta: float = 0.0,
    seed: int = -1,
) -> dict:
    """Digits from noise; a stream: one message a step, the last one holds the pictures.

    pictures: 1 to 8. label: "0" to "9", "none", or "each" (ten pictures, one of each digit).
    guidance w, -10 to 50, by diffusers' convention u + w (c - u): 0 ignores the label, 1 is the
    plain conditional model. sampler: ddpm, ddim, heun or dpmpp-2m. steps: 1 to 1000. eta: 0 to 1,
    for ddim. seed: picture i draws its noise from seed + i; -1 draws a seed, which is returned.
    Each message is {"step", "steps", "t"}; the last is {"pictures": base64 PNG files, 28 x 28,
    "settings", "trained", "evaluations": of the network, a picture}.
    """
    s = settings(pictures, label, guidance, sampler, steps, eta, seed)
    model, trained = network()
    for m in trajectory(s, model):
        if m.i < s.steps:
            yield {"step": m.i, "steps": s.steps, "t": m.t}
    files = [show.base64_of(show.png(p)) for p in show.pictures(m.step.x, -1, 1)]
    yield {
        "pictures": files,
        "settings": s._asdict(),
        "trained": trained,
        "evaluations": m.evaluations,
    }


LABEL_CHOICES = [("One of each", "each"), ("No label", "none"), *((d, d) for d in "0123456789")]
SAMPLER_NAMES = {
    "ddpm": "DDPM, with fresh noise",
    "ddim": "DDIM",
    "heun": "Heun, second order",
    "dpmpp-2m": "DPM-Solver++ 2M",
}
SAMPLER_CHOICES = [(SAMPLER_NAMES.get(key, key), key) for key in SAMPLERS]


def panels() -> list[dict]:
    """The schedule's alpha, sigma and log-SNR over t, on which the player's place is marked."""
    t = torch.linspace(0, 1, 201, dtype=torch.float64)[1:]
    alpha, sigma = SCHEDULES["linear"](t)  # the schedule of the shipped model

    def line(name: str, quantity: str, y: Tensor) -> dict:
        points = torch.stack([t, y], 1).tolist()
        return {"name": name, "colour": f"q-{quantity}", "points": points}

    across = {"x": [0, 1], "xticks": [[0, "0"], [0.5, "t = 0.5"], [1, "1"]]}
    both = [line("α", "x0", alpha), line("σ", "eps", sigma)]
    snr = [line("log-SNR", "xt", log_snr(SCHEDULES["linear"], t))]
    return [
        across | {"title": "α and σ", "y": [0, 1.05], "yticks": [0, 1], "lines": both},
        across | {"title": "log-SNR", "y": [-12, 10], "yticks": [-10, 0, 10], "lines": snr},
    ]


def build() -> None:
    """The tab's components and their connections."""
    gr.Markdown(
        "A network learned to say what is noise in a picture; here it walks back from pure noise. "
        "**Drag the step** and watch x₀, what it expects: a blur at first, an average of all that "
        "it could still become, which sharpens as the choice is made."
    )
    player = Player("reverse-player")
    with gr.Row():
        go = gr.Button("Draw new ones", variant="primary", elem_id="reverse-go")
        stop = gr.Button("Stop", elem_id="reverse-stop")
    with gr.Row():
        label = gr.Dropdown(LABEL_CHOICES, value="each", label="Label", min_width=160)
        count = gr.Slider(1, MOST, value=MOST, step=1, label="Pictures (for one label)")
        guidance = gr.Slider(-4, 10, value=2, step=0.1, label="Guidance w", min_width=220)
    with gr.Row():
        sampler = gr.Dropdown(SAMPLER_CHOICES, value="ddim", label="Sampler", min_width=160)
        number = gr.Slider(
            1, 1000, value=20, step=1, label="Steps", min_width=220, elem_id="reverse-steps"
        )
        eta = gr.Slider(0, 1, value=0, step=0.05, label="η (DDIM)", min_width=220)
        seed = gr.Number(
            -1, label="Seed (−1 = random)", precision=0, min_width=160, elem_id="reverse-seed"
        )
    gr.Markdown(
        "**Guidance.** The network gives two answers: c with the label and u without. What is "
        "used is u + w (c − u), as in diffusers: w = 0 ignores the label, w = 1 is the plain "
        "conditional model, larger w exaggerates the difference (clearer, less varied), negative "
        "w walks away from the label. Try w = 0, 1, 4 and −1 with the same seed.\n\n"
        "**Samplers.** From the same seed DDIM with η = 0 always ends at the same picture; with "
        "η = 1 it is DDPM, which adds fresh noise at every step. Try 5 steps with each: the "
        "second-order ones need fewer. Heun asks the network twice a step."
    )
    Curves("reverse-schedule", panels(), t=1.0, player="reverse-player", size=(480, 170))
    inputs = [count, label, guidance, sampler, number, eta, seed]
    run = go.click(
        lanes.heavy(SECONDS)(steps),
        inputs,
        player,
        validator=refusals,
        api_visibility="private",
        **lanes.HEAVY,
    )
    stop.click(None, cancels=[run], api_visibility="private")
    send(stop, "reverse-player", {"stopped": True})
    player.start(
        lanes.heavy(SECONDS)(first_scene),
        None,
        player,
        api_visibility="private",
        show_progress="hidden",
        concurrency_id="opening",
        concurrency_limit=2,
    )
    endpoint = gr.api(lanes.heavy(SECONDS)(denoise), api_name="denoise", **lanes.HEAVY)
    lanes.refuse_early(endpoint, refusals)
