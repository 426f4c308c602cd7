"""A small VAE that learns while one watches, in steps short enough to stop after any of them.

No step knows how many will follow: the rate falls with the square root of their number, and the
network that is shown is an average over the last tenth of them. So every moment is as good as if
training had been meant to end there, and stopping and going on need nothing special.
"""

import copy
import time
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffuser.autoencoders import AutoEncoder
from diffuser.data import DataError, digits, shipped_digits
from diffuser.device import one_thread

WIDTH, BATCH, RATE = 128, 128, 3e-3
RISE, TAIL = 50, 4000  # steps over which the rate rises; after which it begins to fall
GAMMA = 9  # the average covers about the last 1 / (GAMMA + 1) of the steps
SIDE = 15
SEEN = 500  # training digits that each moment is measured on, as many as test digits ship


@cache
def training_digits() -> Tensor:
    """All 60,000 where they are cached, else the 5,000 that ship: uint8 (N, 1, 28, 28)."""
    try:
        pictures, _ = digits("train")
    except DataError:
        pictures, _ = shipped_digits("train")
    return torch.from_numpy(pictures)[:, None]


@cache
def test_digits() -> Tensor:
    """The 500 test digits that ship: uint8 (500, 1, 28, 28)."""
    return torch.from_numpy(shipped_digits("test")[0])[:, None]


def prior_grid(side: int = SIDE) -> Tensor:
    """side * side points of the plane, row by row from the top left, equally probable: (., 2)."""
    levels = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(side) + 0.5) / side)
    return torch.stack([levels.repeat(side), levels.flip(0).repeat_interleave(side)], dim=1)


class Moment(NamedTuple):
    """What the averaged network is after `step` steps."""

    step: int
    seconds: float
    """Training time so far, over all presses."""
    left: float
    """Seconds until this press ends."""
    beta: float
    test: tuple[float, float]
    """Reconstruction and KL of the test digits, nats; their sum is the negative ELBO."""
    train: tuple[float, float]
    """The same of as many training digits."""
    codes: Tensor
    """Means of the test digits, (500, 2)."""
    grid: Tensor
    """Pictures of `prior_grid`, (225, 1, 28, 28) in [0, 1]."""


class Learner:
    """A VAE in training. Its state depends on the digits, the seed and the betas so far alone.

    `beta` weighs the KL term (Higgins et al. 2017) and may be changed at any time. It computes on
    the CPU unless told otherwise: at this size no other device is faster.
    """

    def __init__(
        self,
        pictures: Tensor,
        seed: int = 0,
        beta: float = 1.0,
        width: int = WIDTH,
        device: torch.device | str = "cpu",
    ):
        self.pictures, self.beta, self.seconds, self.step = pictures, beta, 0.0, 0
        self._beta, self._since = beta, 0
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)
        model = AutoEncoder(2, width=width, encoder_blocks=1, decoder_blocks=1)
        _initialise(model, self._generator)
        self.model = model.to(device)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), RATE, betas=(0.9, 0.99), fused=True
        )

    def _batch(self) -> Tensor:
        """The next digits, shuffled anew each time all have been seen: (B, 1, 28, 28)."""
        if not len(self._order):
            self._order = torch.randperm(len(self.pictures), generator=self._generator)
        index, self._order = self._order[:BATCH], self._order[BATCH:]
        return (self.pictures[index].float() / 255).to(self.model.device)

    def advance(self) -> None:
        """One step of AdamW on reconstruction + beta KL."""
        began = time.perf_counter()
        if self.beta != self._beta:  # an average with the nets of the old beta would blur the new
            self._beta, self._since = self.beta, self.step
        x = self._batch()
        eps = torch.randn(len(x), 2, generator=self._generator).to(x)
        terms = self.model.elbo(x, eps)
        (terms["reconstruction"] + self._beta * terms["kl"]).mean().backward()
        rate = RATE * min(1.0, (self.step + 1) / RISE) * (1 + self.step / TAIL) ** -0.5
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        # Karras et al. 2024, eq. 122: a window that grows with the run needs no length of it
        keep = (1 - 1 / (self.step - self._since)) ** (GAMMA + 1)
        with torch.no_grad():
            ours, theirs = list(self.average.parameters()), list(self.model.parameters())
            torch._foreach_lerp_(ours, theirs, 1 - keep)
        self.seconds += time.perf_counter() - began

    @torch.no_grad()
    def moment(self, left: float = 0.0) -> Moment:
        """The averaged network as it is now, measured with the same noise every time."""
        net, test = self.average, test_digits()
        both = torch.cat([test, self.pictures[:SEEN]]).float().div(255).to(net.device)
        eps = torch.randn(len(both), 2, generator=torch.Generator().manual_seed(0)).to(both)
        terms = net.elbo(both, eps)
        means = [
            tuple(terms[k][part].mean().item() for k in ("reconstruction", "kl"))
            for part in (slice(len(test)), slice(len(test), None))
        ]
        codes = net.encode(both[: len(test)])[0].cpu()
        grid = net.decode(prior_grid().to(net.device)).cpu()
        return Moment(self.step, self.seconds, left, self.beta, *means, codes, grid)


@torch.no_grad()
def _initialise(model: nn.Module, generator: torch.Generator) -> None:
    """PyTorch's own law for linear layers, from a generator: other threads share the global one."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            layer.bias.uniform_(-bound, bound, generator=generator)
            if layer.weight.any():  # a residual branch that starts at zero stays there
                layer.weight.uniform_(-bound, bound, generator=generator)


def pause(seconds: float) -> float:
    """Seconds of training until the next moment: fewer at first, when most changes."""
    return min(0.7, max(0.2, seconds / 20))


def learn(learner: Learner, seconds: float) -> Iterator[Moment]:
    """Trains for so long by the clock, on one core: the moment it starts from, and those after."""
    with one_thread():
        end, left = time.monotonic() + seconds, seconds
        yield learner.moment(left)
        while left > 0:
            until = min(end, time.monotonic() + pause(learner.seconds))
            learner.advance()
            while time.monotonic() < until:
                learner.advance()
            left = max(0.0, end - time.monotonic())
            yield learner.moment(left)
