"""What tells the members of the family of ablated VAEs apart."""

import torch
from torch import Tensor

from diffuser.ablations import FAMILY
from diffuser.autoencoders import AutoEncoder
from diffuser.evaluate_digits import judge_digits
from diffuser.evaluate_latent import autoencoder_figures, autoencoder_terms
from diffuser.frechet import frechet_distance, moments
from diffuser.likelihood import gaussian_kl_to_standard_normal
from diffuser.measures import Evaluation, digit_pictures
from diffuser.weights import load

PRIOR_COUNT = 1000
"""Draws from the prior by which an ablation is measured."""
CONFIDENT = 0.9
"""A picture is read when the judge of digits gives one class at least this probability."""


@torch.no_grad()
def plane(side: int = 20) -> Tensor:
    """side^2 points of the plane with equal probability between them under N(0, I)."""
    levels = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(side) + 0.5) / side)
    return torch.cartesian_prod(levels, levels)


def share_read(logits: Tensor) -> float:
    """Share of pictures to which the judge of digits gives a class with confidence."""
    return float((logits.softmax(1).amax(1) >= CONFIDENT).double().mean())


@torch.no_grad()
def member_figures(
    model: AutoEncoder, pictures: Tensor, seed: int, reference: tuple[Tensor, Tensor]
) -> dict[str, float]:
    """What an ablation changes, on test digits (bytes); nats where a unit is wanted.

    reference: the moments of the judge's features of test digits.
    """
    judge = load("judge-digits")
    terms = autoencoder_terms(model, pictures, seed=seed)
    figures = autoencoder_figures(terms)
    mean, log_var = model.encode(pictures.float() / 255)
    variance = torch.zeros_like(mean) if log_var is None else log_var.exp()
    covariance = mean.T.cov(correction=0) + variance.mean(0).diag()
    found = {
        "reconstruction": figures["reconstruction"],
        "kl": figures.get("kl"),
        "mean_log_var": None if log_var is None else float(log_var.mean()),
        "spread_of_means": float(mean.std(0).mean()),
        "active_units": figures.get("active_units"),
        "aggregate_kl": float(gaussian_kl_to_standard_normal(mean.mean(0), covariance)),
    }
    if model.latent_dim == 2:
        found["grid_read"] = share_read(judge_digits(judge, 2 * model.decode(plane()) - 1)[1])
    features, logits = judge_digits(judge, 2 * next(model.sample(PRIOR_COUNT, seed)).x0 - 1)
    found["prior_read"] = share_read(logits)
    found["prior_frechet"] = frechet_distance(moments(features), reference)
    return found


def evaluate_ablations(name: str, count: int | None, seed: int) -> Evaluation:
    """The same figures of every member of the family, in one table."""
    family = load(name)
    pictures, _ = digit_pictures("test", count)
    reference = moments(judge_digits(load("judge-digits"), pictures, "test digits")[0])
    members = {m: member_figures(family[m], pictures, seed, reference) for m in FAMILY}
    vae = members["vae"]
    figures = {
        "prior_frechet": vae["prior_frechet"],
        "by_member": members,
        "errors": {},
        "protocol": "MNIST test digits, grey; reconstruction: cross-entropy in nats, mean of 5 "
        "draws of z from the posterior (also where training left the noise out); aggregate_kl: "
        "of the Gaussian with the codes' mean and covariance to N(0, I); an active unit's mean "
        "varies by more than 0.01; grid_read: share of a 20 x 20 grid of equal probability under "
        f"N(0, I) whose picture the judge of digits reads with probability {CONFIDENT} or more; "
        f"prior_read: the same for {PRIOR_COUNT:,} draws from N(0, I); prior_frechet: Frechet "
        "distance of those to the test digits in the judge's features (less is better)",
        "seed": seed,
        "count": len(pictures),
    }
    return Evaluation(figures)
