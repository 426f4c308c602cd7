"""Generated digits, and the classifier that judges them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from diffuser.device import default_device, fast_dtype
from diffuser.diffusion import Diffusion
from diffuser.frechet import diversity, frechet_distance, group_error, moments
from diffuser.judges import Judge
from diffuser.measures import Evaluation, accuracy, digit_pictures
from diffuser.weights import load

GUIDANCES = (0.0, 1.0, 1.5, 2.0, 3.0)
SWEEP = 1000
"""Samples at each guidance value, by which the best one is chosen."""


def judge_digits(judge: Judge, pictures: Tensor, desc: str = "judging") -> tuple[Tensor, Tensor]:
    """Features (N, F) and logits (N, 10) of pictures: bytes, or floats in [-1, 1]."""
    found = []
    for part in tqdm(pictures.split(2000), desc=desc, leave=False):
        x = part.float() / 127.5 - 1 if part.dtype == torch.uint8 else part
        found.append(judge.judge(x))
    features, logits = zip(*found, strict=True)
    return torch.cat(features), torch.cat(logits)


def evaluate_judge(name: str, count: int | None, seed: int) -> Evaluation:
    """Accuracy on test digits."""
    pictures, labels = digit_pictures("test", count)
    _, logits = judge_digits(load(name), pictures)
    share, error = accuracy(logits, labels)
    wrong = logits.argmax(1) != labels
    by_class = [float((~wrong)[labels == k].double().mean()) for k in range(10)]
    figures = {
        "accuracy": share,
        "errors": {"accuracy": error},
        "mistakes": int(wrong.sum()),
        "accuracy_per_class": [round(value, 4) for value in by_class],
        "protocol": "MNIST test digits, one look at each",
        "seed": seed,
        "count": len(labels),
    }
    terms = {"logits": logits.numpy(), "label": labels.numpy()}
    # the card shows what the judge gets wrong
    return Evaluation(figures, terms, pictures[wrong][:64].float() / 255)


# --- generated digits -----------------------------------------------------------------------


def labels_like(real: Tensor, count: int) -> Tensor:
    """`count` labels, sorted, each class with its share of the real ones."""
    index = (torch.arange(count) + 0.5) * len(real) / count
    return real.sort().values[index.long()]


def draw_digits(
    model: Diffusion,
    labels: Tensor,
    guidance: float,
    sampler: str,
    steps: int,
    seed: int,
    batch: int = 100,
) -> Tensor:
    """One picture for each label, bytes (N, 1, 28, 28); picture i from seed + i."""
    pictures = []
    starts = range(0, len(labels), batch)
    for start in tqdm(starts, desc=f"drawing, guidance {guidance:g}", leave=False):
        part = labels[start : start + batch].tolist()
        *_, last = model.sample(len(part), part, guidance, sampler, steps, seed=seed + start)
        pictures.append(((last.x.cpu() + 1) * 127.5).round().clamp(0, 255).byte())
    return torch.cat(pictures)


def evaluate_diffusion(
    name: str,
    count: int | None,
    seed: int,
    *,
    guidances: Sequence[float] = GUIDANCES,
    sampler: str = "dpmpp-2m",
    steps: int = 20,
) -> Evaluation:
    """Accuracy, Frechet distance and diversity of generated digits, by the judge of digits.

    Each guidance value gets 1,000 pictures; the one of least Frechet distance, `count` (10,000).
    """
    count = 10_000 if count is None else count
    model = load(name, dtype=fast_dtype(default_device()))
    judge = load("judge-digits")
    test, test_labels = digit_pictures("test")
    real, _ = judge_digits(judge, test, "test digits")
    reference = moments(real)
    train, _ = judge_digits(judge, digit_pictures("train")[0], "training digits")
    unit = frechet_distance(moments(train), reference)

    def measure(w: float, n: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        labels = labels_like(test_labels, n)
        pictures = draw_digits(model, labels, w, sampler, steps, seed)
        features, logits = judge_digits(judge, pictures)
        share, error = accuracy(logits, labels)
        figures = {
            "guidance": w,
            "accuracy": share,
            "frechet_ratio": frechet_distance(moments(features), reference) / unit,
            "diversity": diversity(features, labels, real, test_labels),
            "errors": {"accuracy": error, "frechet_ratio": group_error(features, reference) / unit},
            "count": n,
        }
        arrays = {"pictures": pictures, "label": labels, "features": features, "logits": logits}
        return figures, {key: value.numpy() for key, value in arrays.items()}

    sweep = [measure(w, min(count, SWEEP)) for w in guidances]
    best, terms = min(sweep, key=lambda found: found[0]["frechet_ratio"])
    if count > SWEEP:
        best, terms = measure(best["guidance"], count)
    # what as many real pictures would score: a sample of n has a distance of its own
    few = train[:: max(1, len(train) // count)][:count]
    figures = {
        **best,
        "real_frechet_ratio": frechet_distance(moments(few), reference) / unit,
        "frechet_unit": unit,
        "by_guidance": [found for found, _ in sweep],
        "sampler": sampler,
        "steps": steps,
        "protocol": "labels in the proportions of the test set; Frechet distance in the features "
        "of judge-digits to the 10,000 test digits, over that of the 60,000 training digits; "
        "diversity: mean distance of two pictures of a class over that of real ones; guidance "
        "u + w (c - u), chosen by Frechet distance",
        "precision": str(fast_dtype(default_device())).removeprefix("torch."),
        "seed": seed,
    }
    return Evaluation(figures, terms)
