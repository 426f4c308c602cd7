"""What the hierarchical VAE makes of pictures: their latents, mixtures of them, and the nats."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from diffuser.hierarchical import HierarchicalVAE, Latent
from diffuser.ui import gate, show
from diffuser.ui.coder import digits
from diffuser.ui.latent_posterior import chosen

NAME, SIZES = "hvae", (4, 8, 16, 32)
COUNT = len(SIZES)
SOURCES = ("a", "b", "resample", "mean")
ABSENT = (
    f"The hierarchical network is not here: the folder weights/{NAME} is missing or not whole. "
    f"Fetch the whole repository, or train it with `python -m diffuser train {NAME}`. "
    "All other tabs work without it."
)
DRAWS = 64  # of the posterior, for the nats of one picture
BLANK = 224  # the grey of a level that is not drawn yet


def network() -> HierarchicalVAE:
    """The shipped network; `BadInput` where it is absent."""
    import diffuser

    try:
        return diffuser.load(NAME)
    except FileNotFoundError:
        raise gate.BadInput(ABSENT) from None


def binary(x: Tensor) -> Tensor:
    """Grey pictures cut at one half: the network knows black and white alone."""
    return (x > 0.5).float()


def picture(args: dict) -> Tensor:
    """The drawing or test digit of a request, as the network gets it: (1, 1, 28, 28), 0 or 1."""
    return binary(chosen(args))


def sources(value: object) -> list[str]:
    """Where each level comes from: one of `SOURCES` for each."""
    if not isinstance(value, list | tuple) or len(value) != COUNT:
        raise gate.BadInput(f"sources must be {COUNT} of: {', '.join(SOURCES)}.")
    return [gate.choice(f"level {k}", one, SOURCES) for k, one in enumerate(value, 1)]


@torch.no_grad()
def latents_of(x: Tensor) -> list[Tensor]:
    """The posterior's mean in each level, given those above: (B, size) each."""
    net = network()
    walked, _ = net.walk(len(x), net.features(x.to(net.device)))
    return [latent.z for latent in walked]


@torch.no_grad()
def mix(
    a: Tensor,
    b: Tensor,
    origin: Sequence[str],
    temperatures: Sequence[float],
    seeds: Sequence[int],
) -> tuple[list[Latent], Tensor]:
    """Latents of A, of B, drawn, or means, level by level; and the logits (1, 1, 28, 28).

    "resample" is mean + temperature std eps of the prior that the levels above give, with eps from
    that level's seed; "mean" is that prior's mean.
    """
    net = network()
    own = {name: latents_of(x) for name, x in (("a", a), ("b", b)) if name in origin}
    given = [own[name][k] if name in own else None for k, name in enumerate(origin)]
    eps = [
        temperatures[k] * net.noise(1, seeds[k])[k] if name == "resample" else None
        for k, name in enumerate(origin)
    ]
    return net.walk(1, given=given, eps=eps)


@torch.no_grad()
def resampled(z: Sequence[Tensor], k: int, alone: bool, n: int, seed: int) -> Tensor:
    """n pictures with level k (0 the top) drawn from its prior, the rest as in z (1, size) each.

    Unless `alone`, all below k are drawn as well. Returns probabilities (n, 1, 28, 28).
    """
    net = network()
    given: list[Tensor | None] = [part.expand(n, -1) for part in z]
    given[k : k + 1 if alone else None] = [None] * (1 if alone else len(z) - k)
    return net.walk(n, given=given, eps=net.noise(n, seed))[1].sigmoid()


@torch.no_grad()
def known(z: Sequence[Tensor], k: int) -> Tensor:
    """What levels 1..k know: the picture with those below at their priors' means.

    z: (B, size) of each level. k = 0 is the picture with every level at its prior's mean, k = L the
    decoded one. Returns probabilities (B, 1, 28, 28).
    """
    return network().walk(len(z[0]), given=z[:k])[1].sigmoid().cpu()


@torch.no_grad()
def nats(x: Tensor) -> dict[str, Tensor]:
    """The negative ELBO's terms of one picture (1, 1, 28, 28), for 64 draws z of q: (64,) each."""
    net = network()
    terms = net.loss(x.expand(DRAWS, -1, -1, -1).to(net.device), net.noise(DRAWS, 0))
    return {name: term.cpu() for name, term in terms.items()}


@cache
@torch.no_grad()
def usual_nats() -> dict[str, Tensor]:
    """The same terms of the 500 test digits, one draw of z each: (500,) each."""
    net, x = network(), binary(digits()[0])
    terms = net.loss(x.to(net.device), net.noise(len(x), 0))
    return {name: term.cpu() for name, term in terms.items()}


def with_error(values: Tensor) -> str:
    """The mean of draws and its standard error, as text."""
    return f"{values.mean():.2f} ± {values.std() / len(values) ** 0.5:.2f}"


def band(z: Tensor) -> np.ndarray:
    """A level's latents (B, size) as a stripe: uint8 (B, 4, 32, 3).

    Blue is negative, white 0, vermillion positive, full at 3.
    """
    wide = z[:, None, None].repeat_interleave(max(SIZES) // z.shape[1], 3)
    return show.diverging(wide, 3.0).repeat(4, 1)


def bands(z: Sequence[Tensor], n: int) -> np.ndarray:
    """The stripes of all levels, the top one first; grey where z lacks a level: (n, 16, 32, 3)."""
    blank = np.full((n, 4, max(SIZES), 3), BLANK, np.uint8)
    return np.concatenate([*(band(part) for part in z), *[blank] * (COUNT - len(z))], 1)
