"""Measuring: each figure of a model card is computed here, from a seed, in bounded memory.

A figure stands with its standard error in `figures["errors"]` where it is an estimate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from diffuser.autoencoders import AutoEncoder
from diffuser.data import digits
from diffuser.device import default_device, fast_dtype
from diffuser.diffusion import Diffusion
from diffuser.evaluate_text import (
    evaluate_text_to_image,
    judge_scores,
    paraphrase_retrieval,
    reconstruction_scores,
)
from diffuser.frechet import diversity, frechet_distance, group_error, moments
from diffuser.judges import Judge
from diffuser.likelihood import kl_to_standard_normal
from diffuser.weights import load

GUIDANCES = (0.0, 1.0, 1.5, 2.0, 3.0)
SWEEP = 1000
"""Samples at each guidance value, by which the best one is chosen."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured: figures for --json, per-example arrays for --save, a picture for a card.

    pictures: (N, C, H, W) in [0, 1]; None where the experiment's own sheet tells enough.
    """

    figures: dict[str, Any]
    terms: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: Tensor | None = None


def digit_pictures(split: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The first `count` digits of a split, bytes (N, 1, 28, 28), and their labels (N,)."""
    pictures, labels = digits(split)
    return torch.from_numpy(pictures[:count])[:, None], torch.from_numpy(labels[:count])


def standard_error(values: Tensor) -> float:
    """Of the mean of independent values (N,)."""
    return float(values.double().std() / len(values) ** 0.5)


@torch.no_grad()
def autoencoder_terms(
    model: AutoEncoder, pictures: Tensor, draws: int = 5, seed: int = 0, batch: int = 500
) -> dict[str, Tensor]:
    """Of each picture (bytes): reconstruction (N,), mean of the latent (N, D), kl (N, D), in nats.

    The reconstruction is the mean over `draws` of eps; the KL needs none. A plain autoencoder has
    no "kl".
    """
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, list[Tensor]] = {}
    for part in tqdm(pictures.split(batch), desc="digits", leave=False):
        x = part.to(model.device).float() / 255
        mean, log_var = model.encode(x)
        found = {"mean": mean}
        if log_var is None:
            draws = 1
        else:
            found["kl"] = kl_to_standard_normal(mean, log_var)
        total = torch.zeros(len(x), device=x.device)
        for _ in range(draws):
            eps = torch.randn(mean.shape, generator=generator).to(x.device)
            total += model.loss(x, eps)["reconstruction"]
        found["reconstruction"] = total / draws
        for key, value in found.items():
            parts.setdefault(key, []).append(value.float().cpu())
    return {key: torch.cat(values) for key, values in parts.items()}


def autoencoder_figures(terms: dict[str, Tensor]) -> dict[str, Any]:
    """Means over the test set in nats, and how much each latent dimension carries."""
    means = {"reconstruction": terms["reconstruction"]}
    figures: dict[str, Any] = {}
    if "kl" in terms:
        kl = terms["kl"].sum(1)
        means |= {"kl": kl, "negative_elbo": terms["reconstruction"] + kl}
        per_dimension = terms["kl"].mean(0).sort(descending=True).values
        figures["kl_per_dimension"] = [round(float(v), 4) for v in per_dimension]
        # Burda et al. 2016: a unit is active where its mean varies from picture to picture
        figures["active_units"] = int((terms["mean"].var(0) > 0.01).sum())
    errors = {key: standard_error(value) for key, value in means.items()}
    return {
        **{key: float(v.double().mean()) for key, v in means.items()},
        "errors": errors,
        **figures,
    }


def evaluate_autoencoder(name: str, count: int | None, seed: int) -> Evaluation:
    """The negative ELBO on test digits, beside that of the untrained network."""
    pictures, _ = digit_pictures("test", count)
    terms = autoencoder_terms(load(name), pictures, seed=seed)
    figures = autoencoder_figures(terms)
    bare = autoencoder_figures(autoencoder_terms(load(name, trained=False), pictures, 1, seed))
    figures["untrained"] = {k: v for k, v in bare.items() if isinstance(v, float)}
    figures["protocol"] = (
        "MNIST test digits; binary cross-entropy of grey pixels summed over 784 (comparable, not a "
        "likelihood), mean of 5 draws of z, plus the exact KL; nats"
    )
    figures |= {"seed": seed, "count": len(pictures)}
    return Evaluation(figures, {key: value.numpy() for key, value in terms.items()})


# --- the judge of digits --------------------------------------------------------------------


def accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Share of rows (N, classes) whose largest logit is at its label, and its binomial error."""
    share = float((logits.argmax(1) == labels).double().mean())
    return share, (share * (1 - share) / len(labels)) ** 0.5


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


def evaluate_prompts(name: str, count: int | None, seed: int) -> Evaluation:
    """Whether pictures show what their prompts say; see `evaluate_text_to_image`."""
    model = load(name, dtype=fast_dtype(default_device()))
    return Evaluation(evaluate_text_to_image(model, load("judge-emoji"), seed=seed, count=count))


def evaluate_text_encoder(name: str, count: int | None, seed: int) -> Evaluation:
    """Retrieval of paraphrases, which are fixed: the seed changes nothing."""
    return Evaluation({**paraphrase_retrieval(load(name), count or 1000), "seed": seed})


def evaluate_latent_autoencoder(name: str, count: int | None, seed: int) -> Evaluation:
    """PSNR on unseen emoji, which are fixed: the seed changes nothing."""
    figures, psnr = reconstruction_scores(load(name), count)
    return Evaluation({**figures, "seed": seed}, {"psnr": psnr})


def evaluate_emoji_judge(name: str, count: int | None, seed: int) -> Evaluation:
    """Retrieval of real, unseen pictures, which are fixed; the card shows those it gets wrong."""
    figures, wrong = judge_scores(load(name), count)
    return Evaluation({**figures, "seed": seed}, pictures=wrong)


EVALUATIONS: dict[str, Callable[[str, int | None, int], Evaluation]] = {
    "ae-2d": evaluate_autoencoder,
    "vae-2d": evaluate_autoencoder,
    "vae-20d": evaluate_autoencoder,
    "ddpm-digits": evaluate_diffusion,
    "judge-digits": evaluate_judge,
    "text-to-image": evaluate_prompts,
    "text-to-image-text": evaluate_text_encoder,
    "text-to-image-vae": evaluate_latent_autoencoder,
    "judge-emoji": evaluate_emoji_judge,
}
"""(name, count or None for the full protocol, seed) -> what was measured."""


def evaluate(name: str, count: int | None = None, seed: int = 0) -> Evaluation:
    """Measures a shipped model on test data; count: fewer examples than the full protocol's.

    Raises ValueError where nothing is known to measure.
    """
    if name not in EVALUATIONS:
        raise ValueError(f"{name!r} has no evaluation; there is {', '.join(EVALUATIONS)}")
    found = EVALUATIONS[name](name, count, seed)
    options = {"count": count, "seed": seed or None}
    words = [f" --{key} {value}" for key, value in options.items() if value is not None]
    found.figures["command"] = f"python -m diffuser evaluate {name}{''.join(words)}"
    return found
