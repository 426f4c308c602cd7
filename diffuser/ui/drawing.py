"""From a request for pictures to pictures: settings through the gate, steps from the network."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from diffuser.data.captions import STYLE_WORDS
from diffuser.device import default_device, fast_dtype
from diffuser.samplers import SAMPLERS
from diffuser.text_to_image import TextToImage
from diffuser.ui import gate, lanes, show

NAME = "text-to-image"
ABSENT = (
    "The text-to-image network is not here: the folder weights/text-to-image is missing or not "
    f"whole. Fetch the whole repository, or train it with `python -m diffuser train {NAME}`. "
    "All other tabs work without it."
)
STYLES = {"any": ""} | {w.removesuffix(" style"): w for w in STYLE_WORDS.values()}
SHOWN = 3000  # previews of one run that a page can hold, about 50 MB; a longer run shows fewer


@dataclass(frozen=True)
class Settings:
    """One drawing, clean: every field has passed the gate, and the seed is a real one."""

    prompt: str
    negative: str
    style: str
    steps: int
    guidance: float
    sampler: str
    seed: int
    pictures: int

    @property
    def text(self) -> str:
        """The words as the network gets them: prompt and style, joined as in its captions."""
        return ", ".join(part for part in (self.prompt, STYLES[self.style]) if part)


class Drawing(NamedTuple):
    """Step i of 0..steps: time t, pictures uint8 (n, 64, 64, 3), latents uint8 (n, 32, 32, 1)."""

    i: int
    t: float
    pictures: np.ndarray
    latents: np.ndarray


def clean(
    prompt: object,
    negative: object,
    style: object,
    steps: object,
    guidance: object,
    sampler: object,
    seed: object,
    pictures: object,
) -> Settings:
    """Settings from whatever arrived. Raises `BadInput`; long text is refused before it is read."""
    settings = Settings(
        prompt=gate.prompt(prompt),
        negative=gate.prompt(negative, "The negative prompt"),
        style=gate.choice("style", style, STYLES),
        steps=gate.whole("steps", steps),
        guidance=gate.number("guidance", guidance),
        sampler=gate.choice("sampler", sampler, SAMPLERS),
        seed=gate.seed(seed),
        pictures=gate.whole("pictures", pictures),
    )
    branches = 1 if settings.guidance in (0, 1) else 2
    stages = 2 if settings.sampler == "heun" else 1
    gate.budget(settings.pictures, settings.steps, branches * stages)
    return settings


def model() -> TextToImage:
    """The shipped network in the number format that is fastest here; `BadInput` where absent."""
    import diffuser

    device = default_device()
    try:
        if NAME in diffuser.names():
            return diffuser.load(NAME, dtype=fast_dtype(device))
    except FileNotFoundError:
        pass
    raise gate.BadInput(ABSENT)


def mosaic(latents: Tensor) -> np.ndarray:
    """Latents (n, 4, h, w) -> uint8 (n, 2h, 2w, 1): the four channels in a square, grey is 0."""
    n, _, h, w = latents.shape
    square = latents.reshape(n, 2, 2, h, w).transpose(2, 3).reshape(n, 1, 2 * h, 2 * w)
    return show.pictures(square, -3, 3)


@lanes.gpu(60)
def draw(settings: Settings) -> Iterator[Drawing | None]:
    """Each step as it is made, or None for a step of a very long run that is not shown.

    Picture i has the seed `settings.seed` + i. Previews are the decoded x0 of the step.
    """
    net, every = model(), -(-settings.pictures * settings.steps // SHOWN)
    run = net.sample(
        [settings.text] * settings.pictures,
        settings.negative,
        settings.guidance,
        settings.sampler,
        settings.steps,
        seed=settings.seed,
    )
    for i, step in enumerate(run):
        last = i == settings.steps
        if last or i % every == 0:
            pictures = show.pictures(net.decode(step.x if last else step.x0))
            yield Drawing(i, float(step.t), pictures, mosaic(step.x))
        else:
            yield None


def words(settings: Settings) -> dict:
    """What is said about the text: {"tokens", "cut", "note"}."""
    tokens, cut = model().reading(settings.text)
    notes = []
    if not settings.text:
        notes.append("No words: the picture is drawn without any condition.")
    if cut:
        length = f"{len(cut):,} characters"
        notes.append(f"The text is longer than the network reads; its tail ({length}) was cut off.")
    if settings.guidance <= 1 and settings.negative:
        notes.append("A negative prompt acts only with a guidance above 1.")
    if settings.pictures * settings.steps > SHOWN:
        notes.append("The run is long, so not every step is shown.")
    short = cut if len(cut) <= 200 else cut[:200] + "…"
    return {"tokens": tokens, "cut": short, "note": " ".join(notes)}


def generate(
    prompt: str,
    negative: str = "",
    style: str = "any",
    steps: int = 20,
    guidance: float = 4.0,
    sampler: str = "dpmpp-2m",
    seed: int = -1,
    pictures: int = 1,
) -> Iterator[dict]:
    """Draws pictures from words; streams every step, and the last answer is the finished one.

    prompt, negative: up to 2,000 characters, may be empty. style: "any" or a style by name.
    steps 1 to 1000, guidance -10 to 50 (u + w (c - u), 1 is none), seed -1 for a random one;
    picture i of `pictures` (1 to 9) has the seed `seed` + i.
    Each answer: {"step", "steps", "finished", "pictures": [PNG, 64 x 64, as base64 text],
    "seeds": [...], "settings": {... with the seed used}, "tokens": [...], "cut": the tail of the
    text that was not read, "note"}.
    """
    settings = clean(prompt, negative, style, steps, guidance, sampler, seed, pictures)
    said = words(settings)
    for drawing in draw(settings):
        if drawing is not None:
            yield {
                "step": drawing.i,
                "steps": settings.steps,
                "finished": drawing.i == settings.steps,
                "pictures": [show.base64_of(show.png(p)) for p in drawing.pictures],
                "seeds": [settings.seed + k for k in range(settings.pictures)],
                "settings": asdict(settings),
                **said,
            }
