"""Likelihood terms in nats, per example."""

import torch.nn.functional as F
from torch import Tensor


def kl_to_standard_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_var)) || N(0, I)) for each dimension, in nats; the inputs' shape."""
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var)


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """-log Bernoulli(x; sigmoid(logits)) summed over all but the first dimension, in nats: (B,).

    For grey x in [0, 1] this is the binary cross-entropy: comparable, but not a likelihood.
    """
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
