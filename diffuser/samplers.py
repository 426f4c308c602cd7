"""Samplers: generator functions that walk x from noise to data and yield a `Step` at each time.

A sampler is called as `sampler(denoise, schedule, x, times, noise)`:
  denoise  (x, t) -> (x0, eps), the network's estimates with alpha x0 + sigma eps = x; t is ()
  schedule t -> (alpha, sigma)
  x        (B, ...) the start, distributed as x_t at times[0]
  times    (n + 1,) decreasing; linspace(1, 0, n + 1) is what diffusers calls trailing spacing
  noise    () -> (B, ...) fresh standard normal noise; only the stochastic samplers call it
It yields n + 1 Steps. Each but the last holds the estimates made at its own t, so that
x = alpha x0 + sigma eps in every one of them; the last repeats the final estimates beside the
finished x. Nothing is held that must be released, so a generator may be dropped at any step.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from diffuser.schedules import Schedule

Denoiser = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Noise = Callable[[], Tensor]


class Step(NamedTuple):
    """Where a trajectory stands: the time, the state, and what the network believes of it.

    t: () in [0, 1]; x, x0, eps: (B, ...). eps is None for models that have none.
    """

    t: Tensor
    x: Tensor
    x0: Tensor
    eps: Tensor | None


Sampler = Callable[[Denoiser, Schedule, Tensor, Tensor, Noise], Iterator[Step]]


def seeded_noise(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> Noise:
    """A source of (B, ...) noise in which sample i draws from a generator of its own, seed + i.

    So a picture's noise does not depend on the batch it is drawn in, nor (being drawn on the CPU)
    on the device. The caller moves it.
    """
    generators = [torch.Generator().manual_seed(seed + i) for i in range(shape[0])]

    def draw() -> Tensor:
        return torch.stack([torch.randn(shape[1:], generator=g, dtype=dtype) for g in generators])

    return draw


@torch.no_grad()
def ddim(
    denoise: Denoiser, schedule: Schedule, x: Tensor, times: Tensor, noise: Noise, eta: float = 0.0
) -> Iterator[Step]:
    """DDIM (Song et al. 2021, eq. 12) for any schedule: eta = 0 is the ODE, eta = 1 is DDPM.

    x_s = alpha_s x0 + sqrt(sigma_s^2 - v) eps + sqrt(v) z, where v is eta^2 times the variance of
    the posterior q(x_s | x_t, x0).
    """
    for t, s in zip(times[:-1], times[1:], strict=True):
        x0, eps = denoise(x, t)
        yield Step(t, x, x0, eps)
        (alpha_s, sigma_s), (alpha_t, sigma_t) = schedule(s), schedule(t)
        v = 0.0 * sigma_s
        if eta > 0:
            v = eta**2 * sigma_s**2 * (1 - (alpha_t / alpha_s * sigma_s / sigma_t) ** 2)
        x = alpha_s * x0 + (sigma_s**2 - v).clamp(min=0).sqrt() * eps
        if eta > 0:
            x = x + v.clamp(min=0).sqrt() * noise()
    yield Step(times[-1], x, x0, eps)


@torch.no_grad()
def heun(
    denoise: Denoiser, schedule: Schedule, x: Tensor, times: Tensor, noise: Noise
) -> Iterator[Step]:
    """Heun's second-order method on the probability-flow ODE (Karras et al. 2022, alg. 1).

    The ODE is d(x / alpha) / d(sigma / alpha) = eps, and as well d(x / sigma) / d(alpha / sigma)
    = x0. The first has no bounded coordinate at pure noise, the second none at clean data; so a
    step takes the second where there is more noise than data, else the first. A step that ends
    at clean data is Euler's, which is DDIM's. Two network evaluations for each other step.
    """
    for t, s in zip(times[:-1], times[1:], strict=True):
        x0, eps = denoise(x, t)
        yield Step(t, x, x0, eps)
        (alpha_s, sigma_s), (alpha_t, sigma_t) = schedule(s), schedule(t)
        euler = alpha_s * x0 + sigma_s * eps
        if sigma_s == 0:
            x = euler
            continue
        x0_s, eps_s = denoise(euler, s)
        if alpha_s * alpha_t < sigma_s * sigma_t:
            scale = sigma_s / sigma_t
            x = scale * x + (alpha_s - scale * alpha_t) * (x0 + x0_s) / 2
        else:
            scale = alpha_s / alpha_t
            x = scale * x + (sigma_s - scale * sigma_t) * (eps + eps_s) / 2
    yield Step(times[-1], x, x0, eps)


@torch.no_grad()
def dpmpp_2m(
    denoise: Denoiser, schedule: Schedule, x: Tensor, times: Tensor, noise: Noise
) -> Iterator[Step]:
    """DPM-Solver++(2M) (Lu et al. 2022, alg. 2): second order from one evaluation a step.

    lambda = log(alpha / sigma); x0 is extrapolated from the last two estimates. The first step,
    and a last one that ends at clean data, are of first order.
    """
    last_x0, last_h = None, None
    for t, s in zip(times[:-1], times[1:], strict=True):
        x0, eps = denoise(x, t)
        yield Step(t, x, x0, eps)
        (alpha_s, sigma_s), (alpha_t, sigma_t) = schedule(s), schedule(t)
        h = (alpha_s.log() - sigma_s.log()) - (alpha_t.log() - sigma_t.log())
        guess = x0
        if last_x0 is not None and sigma_s > 0:
            guess = x0 + (x0 - last_x0) * h / (2 * last_h)
        # alpha_s (1 - exp(-h)), written so that it exists at both ends of time
        ratio = sigma_s / sigma_t
        x = ratio * x + (alpha_s - ratio * alpha_t) * guess
        last_x0, last_h = x0, h
    yield Step(times[-1], x, x0, eps)


SAMPLERS: dict[str, Sampler] = {
    "ddpm": partial(ddim, eta=1.0),
    "ddim": ddim,
    "heun": heun,
    "dpmpp-2m": dpmpp_2m,
}


def named(name: str, eta: float = 0.0) -> Sampler:
    """A sampler by its name; eta counts for "ddim" alone. Unknown names raise ValueError."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler is one of {', '.join(SAMPLERS)}, not {name!r}")
    return partial(ddim, eta=eta) if name == "ddim" else SAMPLERS[name]


def trailing(steps: int) -> Tensor:
    """steps + 1 times from 1 to 0, evenly spaced: what diffusers calls trailing spacing."""
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64).float()
