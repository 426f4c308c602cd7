"""A hierarchical VAE: latents in levels, each level's prior drawn from the levels above it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from diffuser.likelihood import bernoulli_nll, kl_between_normals, normal_log_density
from diffuser.networks import ResidualBlock, ResidualMLP
from diffuser.samplers import Step, seeded_noise

Normal = tuple[Tensor, Tensor]
"""Mean and log-variance."""


class Level(nn.Module):
    """One stochastic level: its prior from above, its posterior from above and below, what z adds.

    The posterior is told as a difference from the prior (Vahdat and Kautz 2020), so that a level
    that knows nothing costs nothing. The top level has no one above: its prior is N(0, I).
    """

    def __init__(self, latent: int, width: int, blocks: int, top: bool):
        super().__init__()
        self.latent = latent
        self.prior = None if top else ResidualMLP(width, 2 * latent, width, 0)
        self.posterior = ResidualMLP(width if top else 2 * width, 2 * latent, width, 1)
        self.add = nn.Linear(latent, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))

    def p(self, h: Tensor) -> Normal:
        """p(z_k | z_<k), told by the state h (B, width) of the levels above; each (B, latent)."""
        if self.prior is None:
            zeros = torch.zeros(len(h), self.latent, device=h.device)
            return zeros, zeros
        mean, log_var = self.prior(h).float().chunk(2, 1)
        return mean, log_var.clamp(-10, 5)

    def q(self, h: Tensor, seen: Tensor) -> Normal:
        """q(z_k | z_<k, x), with features (B, width) of the picture beside the state."""
        mean, log_var = self.p(h)
        both = seen if self.prior is None else torch.cat([h, seen], 1)
        moved, wider = self.posterior(both).float().chunk(2, 1)
        return mean + moved * (log_var / 2).exp(), (log_var + wider).clamp(-15, 5)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        return self.blocks(h + self.add(z.to(h.dtype)))


class Latent(NamedTuple):
    """One level of a walk from the top: z (B, latent), its prior and, with a picture, posterior."""

    z: Tensor
    prior: Normal
    posterior: Normal | None


class HierarchicalVAE(ModelMixin, ConfigMixin):
    """Binary pictures (B, 1, side, side) to latents in levels and back, with L levels.

    p(x, z) = p(x | z_1..L) prod_k p(z_k | z_<k), q(z | x) = prod_k q(z_k | z_<k, x); level 1 is the
    top. Inference walks down as generation does, with features of the picture that a deterministic
    way up has made (Sonderby et al. 2016). `latents` are the dimensions of the levels.
    """

    @register_to_config
    def __init__(
        self,
        latents: Sequence[int] = (4, 8, 16, 32),
        side: int = 28,
        width: int = 256,
        encoder_blocks: int = 2,
        decoder_blocks: int = 2,
    ):
        super().__init__()
        self.latents, self.shape = tuple(latents), (1, side, side)
        self.look = ResidualMLP(side * side, width, width, encoder_blocks)
        self.up = nn.ModuleList(ResidualBlock(width) for _ in latents)
        self.start = nn.Parameter(torch.zeros(width))
        self.levels = nn.ModuleList(
            Level(latent, width, decoder_blocks, top=k == 0) for k, latent in enumerate(latents)
        )
        self.leave = ResidualMLP(width, side * side, width, 0)

    def features(self, x: Tensor) -> list[Tensor]:
        """What the picture says to each level, the top one first: (B, width) each."""
        h = self.look((2 * x.flatten(1) - 1).to(self.dtype))
        seen = []
        for block in self.up:
            h = block(h)
            seen.insert(0, h)
        return seen

    def walk(
        self,
        n: int,
        seen: Sequence[Tensor] | None = None,
        given: Sequence[Tensor | None] = (),
        eps: Sequence[Tensor | None] = (),
    ) -> tuple[list[Latent], Tensor]:
        """Down all the levels: the latents, and the logits of the pixels (n, 1, side, side).

        Level k takes given[k] where that is there, else mean + std eps[k] of its posterior where
        features `seen` of a picture are given, of its prior where not; without eps[k], the mean.
        Short lists are filled up with None.
        """
        fill = [None] * len(self.levels)
        h = self.start.expand(n, -1)
        latents: list[Latent] = []
        rows = zip(self.levels, seen or fill, [*given, *fill], [*eps, *fill], strict=False)
        for level, features, z, noise in rows:
            prior = level.p(h)
            posterior = None if features is None else level.q(h, features)
            if z is None:
                mean, log_var = posterior or prior
                z = mean if noise is None else mean + (log_var / 2).exp() * noise
            latents.append(Latent(z, prior, posterior))
            h = level(h, z)
        return latents, self.leave(h).float().view(-1, *self.shape)

    def noise(self, n: int, seed: int) -> list[Tensor]:
        """eps for each level, (n, latent); picture i draws from seed + i alone."""
        eps = seeded_noise((n, sum(self.latents)), seed)().to(self.device)
        return list(eps.split(self.latents, 1))

    def forward(self, x: Tensor, eps: Sequence[Tensor] | None = None) -> dict[str, Tensor]:
        """The negative ELBO of binary pictures in nats: reconstruction (B,), kl_1 .. kl_L (B,).

        One draw of the levels, with fresh eps unless a list of (B, latent) is given. kl_k is exact
        in z_k and an estimate in the levels above.
        """
        if eps is None:
            eps = [torch.randn(len(x), size, device=x.device) for size in self.latents]
        latents, logits = self.walk(len(x), self.features(x), eps=eps)
        terms = {"reconstruction": bernoulli_nll(logits, x)}
        for k, (_, prior, posterior) in enumerate(latents):
            terms[f"kl_{k + 1}"] = kl_between_normals(*posterior, *prior).sum(1)
        return terms

    loss = forward

    def log_weights(
        self, x: Tensor, count: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """log p(x, z) - log q(z | x) in nats for `count` draws z of q of each picture: (B, count).

        `importance_bound` makes a bound of them, which tends to log p(x).
        """
        seen = [part.repeat_interleave(count, 0) for part in self.features(x)]
        draws = torch.randn(len(x) * count, sum(self.latents), generator=generator)
        eps = draws.to(x.device).split(self.latents, 1)
        latents, logits = self.walk(len(x) * count, seen, eps=eps)
        total = -bernoulli_nll(logits, x.repeat_interleave(count, 0))
        for z, prior, posterior in latents:
            total = total + normal_log_density(z, *prior).sum(1)
            total = total - normal_log_density(z, *posterior).sum(1)
        return total.view(len(x), count)

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0, temperature: float = 1.0) -> Iterator[Step]:
        """n pictures from the prior, one Step a level from the top: x = z_k, t = 1 - k / L.

        x0 is what is known by then: the picture with all levels below at their priors' means.
        """
        eps = [temperature * part for part in self.noise(n, seed)]
        latents, _ = self.walk(n, eps=eps)
        for k in range(1, len(latents) + 1):
            _, logits = self.walk(n, given=[latent.z for latent in latents[:k]])
            t = torch.tensor(1 - k / len(latents))
            yield Step(t, latents[k - 1].z, logits.sigmoid(), None)
