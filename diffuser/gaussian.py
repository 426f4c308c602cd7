"""The Gaussian corruption x_t = alpha x0 + sigma eps, and everything that follows from it.

Shapes: x, x0, eps are (B, ...); alpha, sigma, t are (B,) or scalars, see `expand`.
Equation numbers are those of Luo, "Understanding Diffusion Models", arXiv 2208.11970.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from diffuser.schedules import Schedule, log_snr

Kind = Literal["eps", "x0", "v", "score"]
KINDS: tuple[str, ...] = get_args(Kind)


def expand(value: Tensor, x: Tensor) -> Tensor:
    """A value per example, (B,) or (), shaped so that it multiplies x of shape (B, ...)."""
    return value.reshape(value.shape + (1,) * (x.ndim - value.ndim)) if value.ndim else value


def mix(x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """x_t = alpha x0 + sigma eps: a draw from q(x_t | x0) (Luo eq. 70)."""
    return expand(alpha, x0) * x0 + expand(sigma, x0) * eps


def target(kind: Kind, x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What a network of this kind is asked to predict from x_t = alpha x0 + sigma eps.

    v = alpha eps - sigma x0 (Salimans and Ho 2022); score = grad log q(x_t | x0) = -eps / sigma.
    """
    alpha, sigma = expand(alpha, x0), expand(sigma, x0)
    match kind:
        case "eps":
            return eps
        case "x0":
            return x0
        case "v":
            return alpha * eps - sigma * x0
        case "score":
            return -eps / sigma
    raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")


def resolve(
    kind: Kind, output: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor
) -> tuple[Tensor, Tensor]:
    """Any of the four spellings as the pair (x0, eps) with alpha x0 + sigma eps = x.

    "eps" and "score" cannot be resolved where alpha = 0 (pure noise), "x0" not where sigma = 0.
    """
    alpha, sigma = expand(alpha, x), expand(sigma, x)
    match kind:
        case "eps":
            return (x - sigma * output) / alpha, output
        case "x0":
            return output, (x - alpha * output) / sigma
        case "v":
            norm = alpha**2 + sigma**2
            return (alpha * x - sigma * output) / norm, (sigma * x + alpha * output) / norm
        case "score":
            eps = -sigma * output
            return (x - sigma * eps) / alpha, eps
    raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")


def sde(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """Drift f and squared diffusion g^2 of dx = f x dt + g dw with the marginals of `schedule`.

    f = d log alpha / dt and g^2 = -sigma^2 d log-SNR / dt (Kingma et al. 2021, eq. 19), both by
    automatic differentiation, so they exist wherever the schedule is smooth and 0 < sigma < inf.
    """
    one = torch.ones_like(t)
    _, f = torch.func.jvp(lambda u: schedule(u)[0].log(), (t,), (one,))
    _, slope = torch.func.jvp(lambda u: log_snr(schedule, u), (t,), (one,))
    _, sigma = schedule(t)
    return f, -(sigma**2) * slope


def posterior(
    x0: Tensor, x: Tensor, schedule: Schedule, s: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean (B, ...) and variance (per example) of q(x_s | x_t, x0), s < t (Luo eq. 84, 85).

    With a = alpha_t / alpha_s and var = sigma_t^2 - a^2 sigma_s^2, Bayes' rule gives
    mean = (a sigma_s^2 x_t + alpha_s var x0) / sigma_t^2 and variance = sigma_s^2 var / sigma_t^2.
    """
    (alpha_s, sigma_s), (alpha_t, sigma_t) = schedule(s), schedule(t)
    a = alpha_t / alpha_s
    var = sigma_t**2 - a**2 * sigma_s**2
    mean = expand(a * sigma_s**2 / sigma_t**2, x) * x + expand(alpha_s * var / sigma_t**2, x) * x0
    return mean, sigma_s**2 * var / sigma_t**2
