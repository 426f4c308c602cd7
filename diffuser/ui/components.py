"""The page's own components. All are `gr.HTML`; their JavaScript stands in files beside this one.

They talk inside the page: a message `{"to": name, "args": {...}}`, sent by a slider, a pad or an
answer, reaches the component of that name without a server event. Examples:

    picture = LivePicture("noise-view", draw, {"t": 0.3, "digit": 7})     # draw(args) -> answer
    picture.follow(t=slider, schedule=dropdown)                           # gradio inputs -> args
    LatentPad("pad", map_of, target="decoded", args={"model": "vae-2d"})
    DrawPad("paper", target="noise-view")                                 # sends {"px": base64}
    player = Player("trajectory")
    run = go.click(lanes.heavy(60)(steps), inputs, player, **lanes.HEAVY)
    player.start(lanes.heavy(60)(steps), inputs, player, **lanes.HEAVY)   # when first seen

An answer is {"frames": [show.frame(...), ...], "numbers": [[name, text, quantity or None], ...]}
with, where wanted, "note": text, "say": {name: args}, "file": {"name", "mime", "data"},
"formula": [[text, quantity or None], ...], "checks": [{"name", "found", "expected", "tolerance",
"ok"}, ...] or "table": [[text, ...], ...] with its head first, and "curves": [panel, ...] (see
`Curves`); other keys reach listeners of the document's `diffuser:answer` event.
"""

import json
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from diffuser.ui import gate, lanes, show

HERE = Path(__file__).parent
COMMON = (HERE / "common.js").read_text()


def script(*names: str) -> str:
    """A component's JavaScript, the shared part first."""
    return COMMON + "".join((HERE / name).read_text() for name in names)


FRAMES = '<div class="frames" aria-live="off"></div><div class="numbers"></div>'
FIGURES = '<p class="formula"></p><div class="checks"></div><div class="curves"></div>'
NOTE = '<p class="note" role="status" dir="auto"></p>'


class LivePicture(gr.HTML):
    """Pictures that change while something is dragged; nothing is queued and nothing is written.

    `draw(args)` gets the newest arguments merged over `args` and returns an answer (above); it
    runs in the light lane, so check every argument with the gate. Two requests fly at a time, an
    older answer never replaces a newer one, the last is never lost. The first picture is asked
    for when the component is first seen, unless `at_once` is false (then a message asks).
    """

    def __init__(
        self, name: str, draw: Callable[[dict], dict], args: dict, at_once: bool = True
    ) -> None:
        served = lanes.live(draw)
        served.__name__ = "draw"
        super().__init__(
            html_template='<div class="live" aria-busy="true">'
            f'{FRAMES}{FIGURES}{NOTE}<a class="save" hidden></a></div>',
            js_on_load=script("figures.js", "live_picture.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            server_functions=[served],
            name=name,
            args=args,
            at_once=at_once,
        )

    def follow(self, **inputs: gr.components.Component) -> None:
        """Ask again, in the page, whenever one of these inputs changes; keyword = argument name."""
        for argument, component in inputs.items():
            tell(component, self.elem_id, argument)


def tell(
    component: gr.components.Component, to: str, argument: str, also: dict | None = None
) -> None:
    """Each change of a gradio input becomes a message {**also, argument: value} to `to`."""
    js = f"(value) => {{ {message(to, f'{{...{json.dumps(also or {})}, {argument}: value}}')} }}"
    # `change` also hears the reset button of a slider and pasted text, which `input` does not.
    component.change(None, component, None, js=js, queue=False, api_visibility="private")


def message(to: str, args_js: str) -> str:
    """The JavaScript statement that sends a message; `args_js` is a trusted expression."""
    detail = f"{{detail: {{to: {json.dumps(to)}, args: {args_js}}}}}"
    return f"document.dispatchEvent(new CustomEvent('diffuser:ask', {detail}));"


def send(button: gr.Button, to: str, args: dict) -> None:
    """A click sends fixed arguments to component `to`."""
    js = f"() => {{ {message(to, json.dumps(args))} }}"
    button.click(None, None, None, js=js, queue=False, api_visibility="private")


class LatentPad(gr.HTML):
    """A square of a two-dimensional latent space over the map of encoded digits.

    `map_of(args)` returns {"points": [[x, y, class], ...], "centre": [x, y], "half": width / 2}
    and, where wanted, "z": where the point begins, "name": said under the pad in place of z,
    "rings": radii of circles around the origin, "clouds": [[x, y, std, std, class], ...] drawn as
    ellipses, "still": true where a new map shall not ask for a picture. Then, and with each drag
    (mouse, touch, arrow keys, Shift for small steps), {**args, "z": [x, y]} goes to `target`. A
    message {"ellipse": {"mean", "std"}} shows a posterior, and dragging then sends {"eps": [..]},
    which begins at (0.8, 0.6); {"close": true} looks at the ellipse from close by; {"z": [..]}
    moves the point silently; any other key changes `args` and reads the map again.
    """

    def __init__(
        self,
        name: str,
        map_of: Callable[[dict], dict],
        target: str,
        args: dict,
        start: tuple[float, float] = (0.0, 0.0),
        close: bool = False,
    ) -> None:
        served = lanes.live(map_of)
        served.__name__ = "map"
        super().__init__(
            html_template='<div class="pad" tabindex="0" role="slider" aria-label="Point in latent '
            'space; arrow keys move it" aria-valuenow="0"><canvas></canvas><div class="dot"></div>'
            f'</div><p class="read"></p>{NOTE}',
            js_on_load=script("latent_pad.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            server_functions=[served],
            name=name,
            target=target,
            args=args,
            start=list(start),
            close=close,
        )

    def follow(self, **inputs: gr.components.Component) -> None:
        """Read the map again whenever one of these inputs changes; keyword = argument name."""
        for argument, component in inputs.items():
            tell(component, self.elem_id, argument)


class Curves(gr.HTML):
    """Curves drawn once as inline SVG, and a marker that moves in the page.

    A panel is {"title", "x": [low, high], "y": [low, high], "lines": [{"name", "colour", "points":
    [[x, y], ...]}, ...]} with, where wanted, "bars": [[x0, x1, y], ...] (a colour may be fourth),
    "xticks": [[x, text], ...] and "yticks"; a colour is a CSS variable's name without its dashes,
    such as "q-x0". A message {"t": x} moves the marker, {"chosen": name} brings one line forward;
    or it follows the step that the player called `player` shows.
    """

    def __init__(
        self,
        name: str,
        panels: list[dict],
        t: float | None = None,
        chosen: str | None = None,
        player: str | None = None,
        size: tuple[int, int] = (320, 190),
    ) -> None:
        super().__init__(
            html_template='<div class="plots"><div class="curves"></div>'
            '<div class="keys chips"></div></div>',
            js_on_load=script("figures.js", "curves.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            name=name,
            panels=panels,
            t=t,
            chosen=chosen,
            player=player,
            size=list(size),
        )


class Player(gr.HTML):
    """A trajectory to scrub. Each yield of a queued generator is one step, from `Player.step`.

    The page keeps every step: play, pause, step, scrub, arrow keys, follow the newest. Events:
    `start` when it is first seen empty, `pick` (gr.EventData with run, i, t) when a scrub ends.
    The document's `diffuser:step` event tells other views where it is; a message {"i": k} moves it;
    {"stopped": true} says that no more steps will come.
    Keep a run below about 50 MB: 200 steps of nine 28 x 28 pictures in three channels are 6 MB.
    """

    def __init__(self, name: str, value: str | None = None) -> None:
        keys = (
            ("first", "First"),
            ("back", "Back"),
            ("play", "Play"),
            ("on", "Next"),
            ("last", "Newest"),
        )
        buttons = "".join(f'<button type="button" class="{c}">{text}</button>' for c, text in keys)
        super().__init__(
            value=value,
            html_template=f'<div class="player" tabindex="-1">{FRAMES}<div class="track">'
            '<div class="done"></div><input type="range" min="0" max="1" value="0" step="1" '
            f'aria-label="Step"></div><div class="keys">{buttons}<span class="count"></span></div>'
            "</div>",
            js_on_load=script("player.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            name=name,
        )

    @staticmethod
    def step(
        run: str,
        i: int,
        n: int,
        frames: list[dict],
        t: float | None = None,
        numbers: list[tuple[str, str, str | None]] = (),
        also: dict | None = None,
    ) -> str:
        """Step i of 0..n of one run (any name that no other run has) as the value to yield.

        `also` travels to those who hear `diffuser:step`; "left" in it is the seconds to come.
        """
        whole = {"run": run, "i": i, "n": n, "t": t, "frames": frames, "numbers": list(numbers)}
        return json.dumps(whole | (also or {}), allow_nan=False)


def read_ink(size: int, channels: int) -> Callable[[dict], dict]:
    """The server function that reads an uploaded file into a drawing of that size."""

    def read(args: dict) -> dict:
        picture = gate.picture(gate.decoded(args.get("file")))
        px = show.ink(picture, size) if channels == 1 else show.fit(picture, size, channels)
        return {"px": show.base64_of(px.tobytes())}

    return read


class DrawPad(gr.HTML):
    """A small drawing: mouse, touch, clear, or a picture file that passes the gate.

    Its value, and the {"px": ...} it sends to each `target` with each stroke, is base64 of
    size * size * channels bytes (read it with `gate.pixels`). A message {"px": ...} sets it
    (with "quiet": true it tells nobody). One channel: light ink on black, as in MNIST, and an
    upload is cut out and centred; three channels: an upload in colour.
    """

    def __init__(
        self,
        name: str,
        target: str | list[str] | None = None,
        args: dict | None = None,
        size: int = 28,
        channels: int = 1,
        value: str | None = None,
    ) -> None:
        super().__init__(
            value=value,
            html_template='<div class="paper"><canvas role="img" aria-label="Drawing"></canvas>'
            '<div class="keys"><button type="button" class="clear">Clear</button>'
            '<button type="button" class="open">Open a picture</button></div>'
            '<input type="file" accept="image/png,image/jpeg,image/webp" hidden></div>' + NOTE,
            js_on_load=script("draw_pad.js"),
            apply_default_css=False,
            elem_id=name,
            elem_classes=["diffuser"],
            server_functions=[lanes.live(read_ink(size, channels))],
            name=name,
            target=target,
            args=args or {},
            size=size,
            channels=channels,
        )
