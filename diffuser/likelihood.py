"""Likelihood terms in nats, per example."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def kl_to_standard_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_var)) || N(0, I)) for each dimension, in nats; the inputs' shape."""
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var)


def kl_between_normals(
    mean: Tensor, log_var: Tensor, to_mean: Tensor, to_log_var: Tensor
) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(to_mean, exp(to_log_var))), each dimension, in nats."""
    distance = (mean - to_mean) * (-to_log_var / 2).exp()
    return kl_to_standard_normal(distance, log_var - to_log_var)


def normal_log_density(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log N(z; mean, exp(log_var)) of each dimension, in nats."""
    return -0.5 * ((z - mean) ** 2 * (-log_var).exp() + log_var + math.log(2 * math.pi))


def gaussian_kl_to_standard_normal(mean: Tensor, covariance: Tensor) -> Tensor:
    """KL(N(mean, covariance) || N(0, I)) in nats, () from (D,) and (D, D).

    Infinite where the covariance is singular: a code that fills no volume.
    """
    trace = covariance.diagonal().sum() + mean.square().sum()
    return 0.5 * (trace - len(mean) - torch.logdet(covariance.double()).to(trace))


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """-log Bernoulli(x; sigmoid(logits)) summed over all but the first dimension, in nats: (B,).

    For grey x in [0, 1] this is the binary cross-entropy: comparable, but not a likelihood.
    """
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def importance_bound(log_weights: Tensor) -> Tensor:
    """log mean exp over the last dimension: (B, k) -> (B,), in nats.

    With log_weights = log p(x, z_i) - log q(z_i | x), z_i ~ q, it bounds log p(x) from below, the
    closer the larger k (Burda et al. 2016, eq. 8); k = 1 is the ELBO.
    """
    return torch.logsumexp(log_weights, -1) - math.log(log_weights.shape[-1])
