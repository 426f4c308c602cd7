"""Model cards: weights/NAME/README.md, written from what was measured and how it was trained."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from diffuser.evaluate import Evaluation
from diffuser.experiments import EXPERIMENTS
from diffuser.train import save_sheet
from diffuser.weights import WEIGHTS, load

MNIST = """the 60,000 training digits of MNIST (Y. LeCun, C. Cortes, C. J. C. Burges,
  <http://yann.lecun.com/exdb/mnist/>), usually cited as CC BY-SA 3.0"""
EMOJI = """emoji of eight styles with captions from Unicode's names: Noto Emoji, Noto Emoji v1 and
  FxEmoji (Apache-2.0), Fluent Emoji in two styles (MIT), the others CC BY 4.0; held-out pairs and
  concepts were never trained on"""
UNITS = {
    "negative_elbo": "nats",
    "reconstruction": "nats, grey binary cross-entropy",
    "kl": "nats",
    "kl_per_dimension": "nats",
    "active_units": "dimensions whose mean varies",
    "nll": "nats",
    "bits_per_dim": "bits",
    "accuracy": "share",
    "frechet_ratio": "times that of training to test digits; less is better",
    "real_frechet_ratio": "the same for as many training digits",
    "diversity": "times that of real digits",
    "guidance": "w in u + w (c - u)",
    "psnr": "dB",
    "psnr_of_mean_error": "dB",
    "retrieval_top1": "share",
    "retrieval_top5": "share",
    "teacher_top1": "share",
}
SKIP = ("errors", "protocol", "seed", "count", "by_guidance", "frechet_unit", "command")

LIMITS = "Small models for learning and teaching; not for reading real handwriting."


@dataclass(frozen=True)
class Words:
    """What a card says that cannot be measured."""

    about: str
    data: str
    use: str
    limits: str = LIMITS


VAE_USE = """\
vae = diffuser.load("{name}")
mean, log_var = vae.encode(x)  # x: (B, 1, 28, 28) in [0, 1]
x = vae.decode(mean)"""
WORDS = {
    "ae-2d": Words(
        "A plain autoencoder of digits with a two-dimensional code: what a variational one is "
        "compared with. Its code has gaps, and draws from N(0, I) need not be digits.",
        MNIST,
        VAE_USE,
    ),
    "vae-2d": Words(
        "A variational autoencoder of digits with a two-dimensional latent, which fits on a page.",
        MNIST,
        VAE_USE,
    ),
    "vae-20d": Words(
        "A variational autoencoder of digits with a twenty-dimensional latent.",
        MNIST,
        VAE_USE,
        LIMITS + " These weights are of one run whose settings changed on the way: 9,000 steps on "
        "the digits as they are, 4,000 with half of them warped, the rest as the experiment says.",
    ),
    "ddpm-digits": Words(
        "A class-conditional diffusion model of digits, 28 x 28. `unet/` and `scheduler/` open "
        'with diffusers\' `UNet2DModel` and `DDIMScheduler`; label 10 is "no label".',
        MNIST,
        """\
model = diffuser.load("{name}")
*_, last = model.sample(8, label=3, guidance=2.0, sampler="dpmpp-2m", steps=20, seed=0)
pictures = (last.x + 1) / 2  # (8, 1, 28, 28)""",
    ),
    "judge-digits": Words(
        "A classifier of digits, trained on real ones alone, by whose labels and features "
        "generated digits are measured. The picture shows the test digits that it gets wrong.",
        MNIST,
        """\
judge = diffuser.load("{name}")
features, logits = judge.judge(x)  # x: (N, 1, 28, 28) in [-1, 1]""",
    ),
    "text-to-image": Words(
        "Latent diffusion of 64 x 64 emoji from captions, in stock parts: the folder opens with "
        "diffusers' `DiffusionPipeline.from_pretrained`.",
        EMOJI,
        """\
model = diffuser.load("{name}")
model.generate("a red apple, flat style", seed=0).save("apple.png")""",
        "A first denoiser, trained for little more than an hour on one core; outlines are soft. Of "
        "the 48 prompts above (in the order of `diffuser.sheets.PROMPTS`; guidance 4, 20 steps) "
        "hearts, cars, buses, houses, cat faces, mushrooms, trees and simple faces are what they "
        "should be, and a colour is followed for hearts, cars, houses and backgrounds. Octopus, "
        "pizza, rocket, rainbow, turtle, fish and pumpkin are mere shapes; the red apple in flat "
        "style is green; a cat with sunglasses has none; a bunny is almost blank.",
    ),
    "text-to-image-vae": Words(
        "The autoencoder of latent diffusion: 64 x 64 pictures to 16 x 16 x 4 latents and back.",
        EMOJI,
        """\
vae = diffuser.load("{name}")
x = vae.decode(vae.encode(x))  # x: (B, 3, 64, 64) in [-1, 1]""",
    ),
    "text-to-image-text": Words(
        "A BERT of three layers that reads prompts, distilled from all-MiniLM-L6-v2: its word "
        "vectors and layers 0, 2 and 5, with the strongest two thirds of their neurons, learned to "
        "give its token states and sentence vectors. `text_encoder/` and `tokenizer/` open with "
        "transformers' `AutoModel` and `AutoTokenizer`.",
        """50,000 sentences: captions of the emoji, and templates filled with their names and tags,
  colours, adjectives and everyday words; as told by all-MiniLM-L6-v2 (Apache-2.0; N. Reimers and
  I. Gurevych, <https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2>)""",
        """\
model = diffuser.load("{name}")
states, mask = model.encode(["a red apple, flat style"])  # (1, 24, 384), (1, 24)""",
        "English only; other alphabets are unknown to it, and a prompt is cut after 24 tokens.",
    ),
    "judge-emoji": Words(
        "A classifier of emoji, trained on real ones alone, by which generated ones are measured. "
        "Its classes are the concepts of `diffuser.data.emoji.load()`, in that order. The picture "
        "shows the unseen real ones that it takes for another of the 200 scoring concepts.",
        EMOJI,
        """\
judge = diffuser.load("{name}")
features, logits = judge.judge(x)  # x: (N, 3, 64, 64) in [-1, 1]""",
        "It goes by colour and outline: a picture with the right ones may pass though a person "
        "would wince. It knows its own training pictures by heart.",
    ),
}


def number(value: Any) -> str:
    """For reading: four significant digits, lists in a row."""
    if isinstance(value, list):
        return ", ".join(number(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def rows(figures: dict[str, Any], group: str = "") -> Iterator[tuple[str, str, str]]:
    """(what, value with its error, unit) of each figure, groups of figures one after another."""
    errors = figures.get("errors", {})
    for key, value in figures.items():
        if isinstance(value, dict) and key != "errors":
            yield from rows(value, f"{group}{key.replace('_', ' ')}: ")
        elif key not in SKIP and not key.endswith("_error"):
            error = errors.get(key, figures.get(f"{key}_error"))
            spread = "" if error is None else f" ± {error:.2g}"
            yield group + key.replace("_", " "), number(value) + spread, UNITS.get(key, "")


def sweep(figures: dict[str, Any]) -> str:
    """The table of guidance values, or nothing."""
    keys = ("guidance", "accuracy", "frechet_ratio", "diversity")
    lines = [
        "| " + " | ".join(number(found[key]) for key in keys) + " |"
        for found in figures.get("by_guidance", [])
    ]
    if not lines:
        return ""
    head = f"| {' | '.join(keys)} |\n|{'---|' * len(keys)}\n".replace("_", " ")
    count = figures["by_guidance"][0]["count"]
    return f"\nEach guidance value on {count:,} pictures:\n\n{head}" + "\n".join(lines) + "\n"


def comparison(found: dict[str, Any]) -> str:
    """The section on networks that were trained for the same time and compared."""
    keys = ("network", "class", "rate", "parameters", "images_per_second", "steps")
    bands = [f"x0 error, t {low:g} to {high:g}" for low, high in found["bands"]]
    head = [key.replace("_", " ") for key in keys] + ["loss in v", "above the best", *bands]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in found["networks"]:
        pairs = [(row[key], row[f"{key}_error"]) for key in ("loss", "above_best")]
        pairs += zip(row["x0"], row["x0_error"], strict=True)
        cells = [number(row[key]) for key in keys] + [f"{v:.3f} ± {e:.3f}" for v, e in pairs]
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines)
    return f"""
## Compared

```
{found["command"]}
```

{table}

Each from random weights for {found["minutes"]:g} minutes of CPU time (not the shipped weights), on
one seed ({found["seed"]}), batch {found["batch"]}, all else alike; {found["processor"]}. Errors on
{found["count"]:,} held-out pictures, with the same noise and captions for all. ± is over pictures;
how much runs on other seeds would differ was not measured.
"""


def readme(name: str, model: nn.Module, figures: dict[str, Any], settings: dict[str, Any]) -> str:
    """The card, as Markdown."""
    words = WORDS[name]
    table = "\n".join(f"| {what} | {value} | {unit} |" for what, value, unit in rows(figures))
    parameters = sum(p.numel() for p in model.parameters())
    minutes = settings["training_seconds"] / 60
    drawn = (WEIGHTS / name / "samples.png").exists()
    picture = "\n![Pictures of the model](samples.png)\n" if drawn else ""
    others = WEIGHTS / name / "comparison.json"
    compared = comparison(json.loads(others.read_text())) if others.exists() else ""
    return f"""# {name}

{words.about}
{picture}
```python
import diffuser

{words.use.format(name=name)}
```

## Measured

```
{figures["command"]}
```

| figure | value | unit |
|---|---|---|
{table}

{figures["count"]:,} examples. {figures["protocol"][:1].upper()}{figures["protocol"][1:]}.
± is one standard error.
{sweep(figures)}{compared}
## Made

- **Command**: `python -m diffuser train {name}`
- **Training**: {settings["steps"]:,} steps of {settings["batch"]}, seed {settings["seed"]},
  {minutes:.0f} minutes; all settings are in `experiment.json`
- **Size**: {parameters:,} parameters, kept in fp16
- **Data**: {words.data}
- **Limits**: {words.limits}
"""


def card(name: str, evaluation: Evaluation | None = None) -> None:
    """Writes README.md, and evaluation.json and samples.png where an evaluation is given.

    Without one the card is written from the evaluation.json that is there.
    """
    folder, model = WEIGHTS / name, load(name)
    file = folder / "evaluation.json"
    if evaluation is not None:
        file.write_text(json.dumps(evaluation.figures, indent=1) + "\n")
        pictures, sheet = evaluation.pictures, EXPERIMENTS[name].sheet
        if pictures is None and sheet is not None:
            pictures = sheet(model)
        if pictures is not None:
            save_sheet(pictures, folder / "samples.png")
    figures = json.loads(file.read_text())
    settings = json.loads((folder / "experiment.json").read_text())
    (folder / "README.md").write_text(readme(name, model, figures, settings))


HEADLINES = ("negative_elbo", "reconstruction", "accuracy", "retrieval_top1", "psnr")
"""The figure that stands for a model in the table of all: the first that it has."""


def table() -> str:
    """All shipped models with their headline figures and commands, as Markdown for the README."""
    lines = ["| model | what it is | measured | by |", "|---|---|---|---|"]
    for name, experiment in EXPERIMENTS.items():
        file = WEIGHTS / name / "evaluation.json"
        if not file.exists():
            continue
        figures = json.loads(file.read_text())
        key = next(key for key in HEADLINES if key in figures)
        error = figures.get("errors", {}).get(key, figures.get(f"{key}_error"))
        spread = "" if error is None else f" ± {error:.2g}"
        value = f"{key.replace('_', ' ')} {number(figures[key])}{spread} {UNITS.get(key, '')}"
        link = f"[{name}](weights/{name}/README.md)"
        lines.append(f"| {link} | {experiment.about} | {value.strip()} | `{figures['command']}` |")
    return "\n".join(lines) + "\n"
