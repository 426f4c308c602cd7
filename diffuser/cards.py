"""Model cards: weights/NAME/README.md, written from what was measured and how it was trained."""

import json
from collections.abc import Iterator
from typing import Any

from torch import nn

from diffuser.card_words import WORDS
from diffuser.experiments import EXPERIMENTS
from diffuser.measures import Evaluation
from diffuser.train import save_sheet
from diffuser.weights import WEIGHTS, load

UNITS = {
    "negative_elbo": "nats",
    "reconstruction": "nats, grey binary cross-entropy",
    "kl": "nats",
    "kl_per_dimension": "nats",
    "active_units": "dimensions whose mean varies",
    "nll": "nats",
    "gap": "nats between the ELBO and the importance-weighted bound",
    "kl_per_level": "nats, from the top",
    "accuracy_kept": "share read as their own class",
    "accuracy_level_resampled": "share, for each level alone, from the top",
    "accuracy_level_and_below_resampled": "share, for each level with all below it",
    "prior_frechet": "from the whole VAE's draws to test digits; less is better",
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
SKIP = {"errors", "protocol", "seed", "count", "command", "frechet_unit", "gap_count"}
SKIP |= {"by_guidance", "by_member"}  # tables of their own


def number(value: Any) -> str:
    """For reading: four significant digits, lists in a row."""
    if isinstance(value, list):
        return ", ".join(number(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def rows(figures: dict[str, Any], group: str = "") -> Iterator[tuple[str, str, str]]:
    """(what, value with its error, unit) of each figure, groups of figures one after another."""
    errors = figures.get("errors", {})
    for key, value in figures.items():
        if isinstance(value, dict) and key not in SKIP:
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


def members(figures: dict[str, Any]) -> str:
    """The table of a family's members, or nothing."""
    found = figures.get("by_member", {})
    keys = list(dict.fromkeys(key for row in found.values() for key in row))
    lines = [
        f"| {name} | "
        + " | ".join("" if row.get(key) is None else number(row[key]) for key in keys)
        + " |"
        for name, row in found.items()
    ]
    if not lines:
        return ""
    head = f"| member | {' | '.join(keys)} |\n|{'---|' * (len(keys) + 1)}\n".replace("_", " ")
    return "\n" + head + "\n".join(lines) + "\n"


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
{sweep(figures)}{members(figures)}{compared}
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


HEADLINES = ("nll", "negative_elbo", "reconstruction", "accuracy")
HEADLINES += ("retrieval_top1", "psnr", "prior_frechet")
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
