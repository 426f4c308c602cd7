"""Noise schedules: callables t -> (alpha, sigma), t in [0, 1], where t = 0 is data.

Everything else about a schedule (log-SNR, the SDE's f and g^2, the ELBO's weight) is derived from
these two numbers by automatic differentiation and never written by hand.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Schedule = Callable[[Tensor], tuple[Tensor, Tensor]]


def log_snr(schedule: Schedule, t: Tensor) -> Tensor:
    """log(alpha^2 / sigma^2): +inf at pure data, -inf at pure noise."""
    alpha, sigma = schedule(t)
    return 2 * (alpha.log() - sigma.log())


class VP:
    """Song et al.'s variance-preserving SDE: beta(t) linear from beta_min to beta_max.

    log alpha = -t^2 (beta_max - beta_min) / 4 - t beta_min / 2, alpha^2 + sigma^2 = 1.
    """

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0):
        self.beta_min, self.beta_max = beta_min, beta_max

    def _log_alpha(self, t: Tensor) -> Tensor:
        return -(t**2) * (self.beta_max - self.beta_min) / 4 - t * self.beta_min / 2

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha = self._log_alpha(t)
        return log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt()


class SubVP(VP):
    """Song et al.'s sub-VP SDE: the same alpha, sigma = 1 - alpha^2."""

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha = self._log_alpha(t)
        return log_alpha.exp(), -torch.expm1(2 * log_alpha)


def ve(t: Tensor, sigma_min: float = 0.01, sigma_max: float = 50.0) -> tuple[Tensor, Tensor]:
    """Variance-exploding: alpha = 1, sigma geometric from sigma_min to sigma_max.

    sigma(0) = sigma_min, not 0: at "data" a trace of noise remains (Song et al. 2021).
    """
    return torch.ones_like(t), sigma_min * (sigma_max / sigma_min) ** t


def flow(t: Tensor) -> tuple[Tensor, Tensor]:
    """The straight line of rectified flow: alpha = 1 - t, sigma = t."""
    return 1 - t, t


def cosine(t: Tensor, offset: float = 0.008) -> tuple[Tensor, Tensor]:
    """Nichol and Dhariwal 2021: alpha = cos((t + s) / (1 + s) pi / 2), scaled to 1 at t = 0.

    Stops a hair before pure noise (t capped at 0.9999), as their cap on beta does.
    """

    def f(u: Tensor) -> Tensor:
        return torch.cos((u + offset) / (1 + offset) * math.pi / 2)

    alpha = f(t.clamp(max=0.9999)) / f(torch.zeros_like(t))
    return alpha, (1 - alpha**2).clamp(min=0).sqrt()


def sigmoid(t: Tensor, start: float = -3.0, end: float = 3.0) -> tuple[Tensor, Tensor]:
    """Jabri et al. 2022: alpha^2 falls along a sigmoid from 1 to 0.

    Stops a hair before pure noise (t capped at 0.9999), where log-SNR would be minus infinity.
    """

    def f(u: Tensor) -> Tensor:
        return torch.sigmoid(-(start + (end - start) * u))

    first, last = f(torch.zeros_like(t)), f(torch.ones_like(t))
    alpha_squared = (f(t.clamp(max=0.9999)) - last) / (first - last)
    return alpha_squared.sqrt(), (1 - alpha_squared).clamp(min=0).sqrt()


class Table:
    """A discrete DDPM schedule of T steps as a function of continuous time.

    Step i of T is t = (i + 1) / T and t = 0 is clean data (alpha-bar = 1). Between steps
    log alpha-bar is interpolated linearly; at a step, where the slope jumps, its derivative is
    that of the interval after it. Where alpha-bar ends at exactly 0 (zero-terminal SNR) it is
    alpha that is interpolated in the last interval, where the logarithm does not exist.
    """

    def __init__(self, betas: Tensor):
        one = torch.ones(1, dtype=torch.float64)
        self.alpha_bar = torch.cat([one, (1 - betas.double()).cumprod(0)])

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        exact = torch.float32 if t.device.type == "mps" else torch.float64
        table = self.alpha_bar.to(t.device, exact)
        position = t.to(table.dtype) * (len(table) - 1)
        # a time such as 0.29 * 1000 may land an ulp beside its knot: snap its value, not its slope
        nearest = position.round()
        snapped = torch.where((position - nearest).abs() < 1e-4, nearest, position).detach()
        position = snapped + (position - position.detach())
        low = position.floor().long().clamp(0, len(table) - 2)
        part = position - low
        first, second = table[low], table[low + 1]
        smooth = torch.lerp(first.log(), second.clamp(min=1e-37).log(), part).exp()
        alpha_bar = torch.where(second > 0, smooth, torch.lerp(first.sqrt(), second, part) ** 2)
        return alpha_bar.sqrt().to(t.dtype), (1 - alpha_bar).clamp(min=0).sqrt().to(t.dtype)


def linear_betas(steps: int = 1000) -> Tensor:
    """Ho et al. 2020: beta linear from 1e-4 to 0.02."""
    return torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)


def scaled_linear_betas(steps: int = 1000) -> Tensor:
    """Stable Diffusion's betas: sqrt(beta) linear from sqrt(0.00085) to sqrt(0.012)."""
    return torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64) ** 2


def zero_terminal(betas: Tensor) -> Tensor:
    """Betas rescaled so that the last alpha-bar is exactly 0 (Lin et al. 2023, alg. 1)."""
    alpha = (1 - betas.double()).cumprod(0).sqrt()
    alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    alpha_bar = alpha**2
    ratio = torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    return 1 - ratio


SCHEDULES: dict[str, Schedule] = {
    "linear": Table(linear_betas()),
    "scaled-linear": Table(scaled_linear_betas()),
    "cosine": cosine,
    "sigmoid": sigmoid,
    "vp": VP(),
    "sub-vp": SubVP(),
    "ve": ve,
    "flow": flow,
    "zero-snr": Table(zero_terminal(scaled_linear_betas())),
}
