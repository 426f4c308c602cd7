"""Part of the tab *Latent space*: a VAE that learns in the page, in about a minute."""

import math
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import gradio as gr

from diffuser.live import BATCH, SIDE, Learner, Moment, learn, pause, training_digits
from diffuser.ui import gate, lanes, show
from diffuser.ui.coder import digits
from diffuser.ui.components import Player, script, send
from diffuser.ui.gate import BadInput

MOST = 150.0  # seconds that one net may learn: the page keeps every moment
DEADLINE = 90.0  # of one press, which asks for 60 s at most
KEPT = 900.0  # seconds for which a net that rests can be resumed
PLAYER = "train-player"


@dataclass
class Visit:
    """What Resume needs: the net, and how many of its moments the page has."""

    learner: Learner
    run: str
    sent: int = 0


def as_step(m: Moment, visit: Visit) -> str:
    """A Moment as the value of the player: the manifold, the map, the terms so far."""
    i = visit.sent
    after = math.ceil(m.left / pause(m.seconds)) if m.left > 0 else 0
    classes = digits()[1].tolist()
    rows = zip(m.codes.tolist(), classes, strict=True)
    reconstruction, kl = m.test
    parts = [
        ("loss = ", None),
        ("reconstruction", "x0"),
        (" + β ", None),
        ("KL", "variance"),
        (" = ", None),
        (f"{reconstruction:.1f}", "x0"),
        (f" + {m.beta:g} × ", None),
        (f"{kl:.2f}", "variance"),
        (f" = {reconstruction + m.beta * kl:.1f} nats", None),
    ]
    numbers = [
        ("negative ELBO of test digits", f"{sum(m.test):.1f} nats", None),
        ("of digits it learns from", f"{sum(m.train):.1f} nats", None),
        ("learned for", f"{m.seconds:.1f} s, {m.step:,} gradient steps", None),
        ("learns from", f"{len(visit.learner.pictures):,} digits", "x0"),
    ]
    also = {
        "left": m.left,
        "seconds": m.seconds,
        "test": m.test,
        "train": m.train,
        "points": [[round(x, 3), round(y, 3), c] for (x, y), c in rows],
        "formula": parts,
    }
    name = "what the decoder draws over the plane"
    picture = show.grid(show.pictures(m.grid), SIDE)
    frames = [show.frame(picture[None], name, "z")]
    return Player.step(visit.run, i, i + after, frames, None, numbers, also)


def moments(visit: Visit, seconds: float) -> Iterator[tuple[str, Visit]]:
    """A press: each moment for the player, and the visit that holds the net."""
    for m in learn(visit.learner, seconds):
        yield as_step(m, visit), visit
        # Only now was it taken; a moment that Stop overtook is sent again by Resume.
        visit.sent += 1


def begin(seconds: object, beta: object, seed: object) -> Iterator[tuple[str, Visit]]:
    """A new net learns for so many seconds."""
    seconds, beta = gate.whole("seconds", seconds), gate.number("beta", beta)
    learner = Learner(training_digits(), gate.seed(seed), beta)
    yield from moments(Visit(learner, secrets.token_hex(8)), seconds)


def resume(visit: Visit | None, seconds: object, beta: object) -> Iterator[tuple[str, Visit]]:
    """The visitor's net goes on from where it was stopped."""
    seconds, beta = gate.whole("seconds", seconds), gate.number("beta", beta)
    if visit is None:
        raise BadInput(
            "There is no net to go on with: one that rests is kept for "
            f"{KEPT / 60:.0f} minutes. Press Train for a new one."
        )
    rest = MOST - visit.learner.seconds
    if rest < 1:
        raise BadInput(f"This net has learned for {MOST:g} s, which is the most; train a new one.")
    visit.learner.beta = beta
    yield from moments(visit, min(seconds, rest))


def set_beta(visit: Visit | None, beta: object) -> None:
    """While a net learns, the slider already counts."""
    if visit is not None:
        visit.learner.beta = gate.number("beta", beta)


@cache
def untrained() -> str:
    """The scene the section opens on: a net before its first step."""
    learner = Learner(training_digits())
    return as_step(learner.moment(), Visit(learner, "untrained"))


def first_scene() -> Iterator[str]:
    """That scene, for the player."""
    yield untrained()


def refusals(seconds: object, beta: object, seed: object) -> list[dict]:
    """Before the queue: for each value, whether it may pass and, if not, why."""
    found = []
    for check, name, value in (
        (gate.whole, "seconds", seconds),
        (gate.number, "beta", beta),
        (gate.whole, "seed", seed),
    ):
        try:
            check(name, value)
            found.append(gr.validate(True, ""))
        except BadInput as error:
            found.append(gr.validate(False, str(error)))
    return found


def api_train(seconds: int = 20, beta: float = 1.0, seed: int = -1) -> Iterator[dict]:
    """A 2-D VAE learns digits from nothing; a stream: one message a moment, the last a picture.

    seconds: 5 to 60, on one core. beta: weight of the KL term, 0 to 10. seed: -1 draws one, which
    is returned; what is learned in a second depends on the machine. Each message is {"step",
    "seconds", "left", "test": {"reconstruction", "kl"}, "train": the same}, nats a digit, over
    500 test digits and 500 of those it learns from; the last has "negative_elbo" of the test
    digits, "digits": how many it learned from, "beta", "seed", and "manifold": base64 PNG, 15 x 15
    points of the plane decoded.
    """
    seconds, beta = gate.whole("seconds", seconds), gate.number("beta", beta)
    seed = gate.seed(seed)
    learner = Learner(training_digits(), seed, beta)
    for m in learn(learner, seconds):
        message = {
            "step": m.step,
            "seconds": round(m.seconds, 2),
            "left": round(m.left, 2),
            "test": dict(zip(("reconstruction", "kl"), m.test, strict=True)),
            "train": dict(zip(("reconstruction", "kl"), m.train, strict=True)),
        }
        if m.left == 0:
            message |= {
                "negative_elbo": sum(m.test),
                "digits": len(learner.pictures),
                "beta": beta,
                "seed": seed,
                "manifold": show.base64_of(show.png(show.grid(show.pictures(m.grid), SIDE))),
            }
        yield message


class LearnedMap(gr.HTML):
    """The test digits where the encoder puts them, at the step that a player shows."""

    def __init__(self, name: str, player: str) -> None:
        super().__init__(
            html_template='<div class="learned"><canvas role="img" aria-label="Map of the encoded '
            'test digits"></canvas><p class="note">500 test digits where the encoder puts them; '
            "circles at 1, 2 and 3 standard deviations of the prior.</p></div>",
            js_on_load=script("learn_map.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            player=player,
        )


class LearningCurves(gr.HTML):
    """The loss with its numbers, and the terms over the time learned, up to the newest step."""

    def __init__(self, name: str, player: str) -> None:
        super().__init__(
            html_template='<p class="formula"></p><div class="curves"></div>'
            '<p class="note">Nats a digit over the seconds learned: coloured, 500 test digits; '
            "grey, 500 of the digits it learns from.</p>",
            js_on_load=script("figures.js", "learn_curves.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            player=player,
        )


def build() -> None:
    """The section's components and their connections."""
    gr.Markdown(
        "## Train one yourself\n"
        f"A new, small VAE learns from nothing, {BATCH} digits a step, on one core of the machine "
        "that serves this page. **Press Train** and watch both pictures; afterwards drag the "
        "step back to see any moment again."
    )
    with gr.Row():
        with gr.Column(min_width=280):
            player = Player(PLAYER)
        with gr.Column(min_width=280):
            LearnedMap("train-map", PLAYER)
            with gr.Row():
                go = gr.Button("Train", variant="primary", elem_id="train-go", min_width=80)
                stop = gr.Button("Stop", elem_id="train-stop", min_width=80)
                again = gr.Button("Resume", elem_id="train-resume", min_width=80)
    with gr.Row():
        seconds = gr.Slider(5, 60, 60, step=5, label="Seconds", elem_id="train-seconds")
        beta = gr.Slider(0, 10, 1, step=0.1, label="β, weight of the KL", elem_id="train-beta")
        seed = gr.Number(-1, label="Seed (−1 = random)", precision=0, elem_id="train-seed")
    LearningCurves("train-curves", PLAYER)
    gr.Markdown(
        "The grey haze becomes blobs, the blobs become digits, and the heap on the map becomes a "
        "wheel of ten crowds. The KL **rises**, because the net begins to say something about each "
        "digit; the reconstruction falls by far more. Where the grey curves leave the coloured "
        "ones, the net is learning its digits by heart.\n\n"
        "**Then move β**, while it learns or between Stop and Resume. With β = 0 nothing holds "
        "the codes together: the map spreads far beyond the circles and the plane between them is "
        "never visited. With β = 10 saying anything is dear: the map shrinks into a line or a "
        "point, and every digit is drawn alike. Train starts over; Resume goes on with your net."
    )
    visit = gr.State(None, time_to_live=KEPT)
    run = go.click(
        lanes.heavy(DEADLINE)(begin),
        [seconds, beta, seed],
        [player, visit],
        validator=refusals,
        api_visibility="private",
        **lanes.HEAVY,
    )
    on = again.click(
        lanes.heavy(DEADLINE)(resume),
        [visit, seconds, beta],
        [player, visit],
        api_visibility="private",
        **lanes.HEAVY,
    )
    stop.click(None, cancels=[run, on], api_visibility="private")
    send(stop, PLAYER, {"stopped": True})
    beta.change(
        lanes.checked(set_beta), [visit, beta], None, api_visibility="private", **lanes.LIGHT
    )
    player.start(
        lanes.heavy(DEADLINE)(first_scene),
        None,
        player,
        api_visibility="private",
        show_progress="hidden",
        concurrency_id="opening",
        concurrency_limit=2,
    )
    endpoint = gr.api(lanes.heavy(DEADLINE)(api_train), api_name="train", **lanes.HEAVY)
    lanes.refuse_early(endpoint, refusals)
    free_with_page()


def free_with_page() -> None:
    """A closed page frees its visitor's net at once; gradio alone would keep it for an hour."""
    page = gr.context.Context.root_block

    def left(request: gr.Request) -> None:
        page.state_holder.delete_state(request.session_hash)

    page.unload(left)
