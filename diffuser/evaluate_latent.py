"""Autoencoders of every kind: the ELBO's terms, and likelihood by importance sampling."""

from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from diffuser.autoencoders import AutoEncoder
from diffuser.evaluate_digits import judge_digits
from diffuser.hierarchical import HierarchicalVAE
from diffuser.likelihood import (
    importance_bound,
    kl_to_standard_normal,
)
from diffuser.measures import Evaluation, accuracy, digit_pictures, standard_error
from diffuser.weights import load

BOUND_COUNT = 1000
"""Test digits, spread evenly, on which the importance-weighted bound is measured."""


@torch.no_grad()
def autoencoder_terms(
    model: AutoEncoder, pictures: Tensor, draws: int = 5, seed: int = 0, batch: int = 500
) -> dict[str, Tensor]:
    """Of each picture (0 to 255), nats: reconstruction (N,), mean of the latent and kl, (N, D).

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
            total += model.elbo(x, eps)["reconstruction"]
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


# --- likelihood of binary digits ------------------------------------------------------------


def binarised(pictures: Tensor, seed: int) -> Tensor:
    """Pictures (bytes) with each pixel drawn, 1 with its grey value as probability; one draw."""
    generator = torch.Generator().manual_seed(seed)
    return torch.bernoulli(pictures.float() / 255, generator=generator)


@torch.no_grad()
def importance_terms(
    model: AutoEncoder | HierarchicalVAE, x: Tensor, samples: int, seed: int = 0, rows: int = 2500
) -> dict[str, Tensor]:
    """Of each binary picture, in nats: nll by `samples` importance samples, the bound of one.

    The second, "single" (N,), is the mean of the same weights' logarithms: the negative ELBO. At
    most `rows` decoded pictures are held at a time.
    """
    generator = torch.Generator().manual_seed(seed)
    nll, single = [], []
    for part in tqdm(x.split(max(1, rows // samples)), desc="importance samples", leave=False):
        draws = []
        for start in range(0, samples, rows):
            count = min(rows, samples - start)
            draws.append(model.log_weights(part.to(model.device), count, generator).cpu())
        log_weights = torch.cat(draws, 1).double()
        nll.append(-importance_bound(log_weights))
        single.append(-log_weights.mean(1))
    return {"nll": torch.cat(nll).float(), "single": torch.cat(single).float()}


def likelihood_figures(
    model: AutoEncoder | HierarchicalVAE, x: Tensor, negative_elbo: Tensor, samples: int, seed: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The NLL of binary pictures x and its error, beside the negative ELBO (N,) of all of them.

    Importance samples are costly and the gap that they close is nearly the same for all digits.
    So the gap is measured on some, and the rest know their ELBO: nll = mean ELBO - mean gap.
    """
    some = torch.arange(0, len(x), max(1, len(x) // BOUND_COUNT))
    found = importance_terms(model, x[some], samples, seed)
    gap = found["single"] - found["nll"]
    figures = {
        "nll": float(negative_elbo.double().mean() - gap.double().mean()),
        "nll_error": (standard_error(negative_elbo) ** 2 + standard_error(gap) ** 2) ** 0.5,
        "gap": float(gap.double().mean()),
        "gap_error": standard_error(gap),
        "samples": samples,
        "gap_count": len(some),
    }
    return figures, found


BINARY = (
    "MNIST test digits, each pixel drawn once from its grey value (dynamic binarisation); the ELBO "
    "of all of them; nll: less the gap between ELBO and importance-weighted bound, measured with "
    "{samples:,} samples a digit on {gap_count:,} digits spread evenly; nats"
)


def evaluate_binary_autoencoder(
    name: str, count: int | None, seed: int, *, samples: int = 5000
) -> Evaluation:
    """The likelihood of binary test digits, by importance samples."""
    model = load(name)
    x = binarised(digit_pictures("test", count)[0], seed)
    terms = autoencoder_terms(model, x * 255, seed=seed)
    figures = autoencoder_figures(terms)
    elbo = terms["reconstruction"] + terms["kl"].sum(1)
    more, found = likelihood_figures(model, x, elbo, samples, seed)
    figures |= {**more, "protocol": BINARY.format(**more), "seed": seed, "count": len(x)}
    return Evaluation(figures, {k: v.numpy() for k, v in (terms | found).items()})


# --- the hierarchical VAE -------------------------------------------------------------------


@torch.no_grad()
def level_terms(model: HierarchicalVAE, x: Tensor, seed: int, draws: int = 5) -> dict[str, Tensor]:
    """Mean over draws of each term of the loss, (N,) in nats."""
    parts = []
    for start in tqdm(range(0, len(x), 500), desc="digits", leave=False):
        part = x[start : start + 500].to(model.device)
        looks = [
            model.loss(part, model.noise(len(part), seed + start + d * len(x)))
            for d in range(draws)
        ]
        parts.append({key: sum(look[key] for look in looks).cpu() / draws for key in looks[0]})
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


@torch.no_grad()
def resampled(
    model: HierarchicalVAE, x: Tensor, level: int, below: bool, seed: int
) -> tuple[list[Tensor], Tensor]:
    """Latents and pictures in [0, 1] when a level (from 0) of x's posterior is drawn anew.

    The levels above keep their posterior means, exactly. Those below are drawn from their priors
    too where `below`, else they keep the values that x gave them.
    """
    kept, _ = model.walk(len(x), model.features(x))
    fresh = range(level, len(kept)) if below else (level,)
    given = [None if k in fresh else latent.z for k, latent in enumerate(kept)]
    latents, logits = model.walk(len(x), given=given, eps=model.noise(len(x), seed))
    return [latent.z for latent in latents], logits.sigmoid()


def evaluate_hierarchical(
    name: str, count: int | None, seed: int, *, samples: int = 1000
) -> Evaluation:
    """The likelihood of binary test digits, KL of each level, and what each level decides."""
    model, judge = load(name), load("judge-digits")
    pictures, labels = digit_pictures("test", count)
    x = binarised(pictures, seed)
    terms = level_terms(model, x, seed)
    elbo = sum(terms.values())
    means = {"reconstruction": terms["reconstruction"], "negative_elbo": elbo}
    means["kl"] = elbo - terms["reconstruction"]
    more, found = likelihood_figures(model, x, elbo, samples, seed)
    some = slice(None, None, max(1, len(x) // BOUND_COUNT))

    def read(pictures: Tensor) -> float:
        return accuracy(judge_digits(judge, 2 * pictures - 1)[1], labels[some])[0]

    levels = range(len(model.latents))
    draw = {k: resampled(model, x[some], k, below=False, seed=seed)[1] for k in levels}
    rest = {k: resampled(model, x[some], k, below=True, seed=seed)[1] for k in levels}
    _, logits = model.walk(len(x[some]), model.features(x[some]))
    figures = {
        **{key: float(value.double().mean()) for key, value in means.items()},
        **more,
        "errors": {key: standard_error(value) for key, value in means.items()},
        "kl_per_level": [float(terms[f"kl_{k + 1}"].mean()) for k in levels],
        "accuracy_kept": read(logits.sigmoid()),
        "accuracy_level_resampled": [read(draw[k]) for k in levels],
        "accuracy_level_and_below_resampled": [read(rest[k]) for k in levels],
        "protocol": BINARY.format(**more) + "; accuracy: how often the judge of digits still reads "
        "a picture's own class when a level, from the top, is drawn anew from its prior, the "
        "levels above kept at their posterior means",
        "seed": seed,
        "count": len(x),
    }
    return Evaluation(figures, {k: v.numpy() for k, v in (terms | found).items()})
