"""From a hierarchical VAE to a diffusion model: a Markov chain of latents, three restrictions.

Luo (arXiv 2208.11970) reaches diffusion by restricting a Markov hierarchical VAE: (1) latents have
the picture's dimension, (2) the encoder is not learned but a fixed linear Gaussian, (3) its last
latent is pure noise. Here each of the four stages is one network of the same kind.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from diffuser.gaussian import mix, posterior
from diffuser.likelihood import (
    bernoulli_nll,
    kl_between_normals,
    kl_to_standard_normal,
    normal_log_density,
)
from diffuser.networks import ResidualMLP
from diffuser.samplers import Step, seeded_noise
from diffuser.schedules import cosine

RESTRICTIONS = (
    "latents of the picture's size",
    "a fixed Gaussian encoder",
    "pure noise at the end",
)
CLEAREST = 0.6
"""Where the fixed encoder ends, a time of the cosine schedule, while it may end in a picture."""


class MarkovHVAE(ModelMixin, ConfigMixin):
    """Binary pictures (B, 1, side, side) and a Markov chain of latents z_1 .. z_T, each (B, dims).

    p(x, z) = p(z_T) p(x | z_1) prod p(z_t | z_t+1), q(z | x) = prod q(z_t | z_t-1) with z_0 = x
    (Luo eq. 23, 24) and p(z_T) = N(0, I). `restrictions` of the three hold, in Luo's order.
    """

    @register_to_config
    def __init__(
        self,
        restrictions: int = 3,
        steps: int = 8,
        latent: int = 32,
        side: int = 28,
        width: int = 256,
        blocks: int = 2,
    ):
        super().__init__()
        self.restrictions, self.steps, self.shape = restrictions, steps, (1, side, side)
        pixels = side * side
        self.dims = pixels if restrictions else latent
        self.last = 1.0 if restrictions == 3 else CLEAREST
        if restrictions < 2:
            self.first = ResidualMLP(pixels, 2 * self.dims, width, blocks)
            self.up = ResidualMLP(self.dims + steps, 2 * self.dims, width, blocks)
            self.down = ResidualMLP(self.dims + steps, 2 * self.dims, width, blocks)
            self.picture = ResidualMLP(self.dims, pixels, width, blocks)
        else:  # one network guesses the picture at every t; the rest follows from it
            self.picture = ResidualMLP(pixels + steps, pixels, width, blocks)

    @property
    def fixed(self) -> bool:
        """Whether the encoder is fixed."""
        return self.restrictions >= 2

    def time(self, t: int) -> Tensor:
        """Of level t in 0..T on the schedule's axis, (); only where the encoder is fixed."""
        return torch.tensor(t / self.steps * self.last, dtype=torch.float64, device=self.device)

    def _told(self, z: Tensor, t: int) -> Tensor:
        """z with its level t in 1..T as a one-hot."""
        level = torch.zeros(len(z), self.steps, dtype=self.dtype, device=z.device)
        level[:, t - 1] = 1
        return torch.cat([z.to(self.dtype), level], 1)

    def x_logits(self, z: Tensor, t: int = 1) -> Tensor:
        """Logits of x given z_1, (B, 1, side, side); with a fixed encoder, given z_t at any t."""
        told = self._told(z, t) if self.fixed else z.to(self.dtype)
        return self.picture(told).float().view(-1, *self.shape)

    def q(self, z: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z_t | z_t-1), (B, dims); z_0 is the picture in [-1, 1]."""
        if self.fixed:
            (alpha_s, _), (alpha_t, _) = cosine(self.time(t - 1)), cosine(self.time(t))
            a = (alpha_t / alpha_s).float()
            return a * z, torch.log1p(-(a**2)).expand_as(z)
        out = self.first(z.to(self.dtype)) if t == 1 else self.up(self._told(z, t))
        mean, log_var = out.float().chunk(2, 1)
        # close to the level before it where that has the same size: a chain begins as a copy
        return mean + z if z.shape == mean.shape else mean, (log_var - 1).clamp(-10, 5)

    def p(self, z: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(z_t-1 | z_t) for t in 2..T, (B, dims).

        A fixed encoder has a known posterior given the picture, which the network's guess replaces.
        """
        if self.fixed:
            return self.posterior(2 * self.x_logits(z, t).sigmoid().flatten(1) - 1, z, t)
        mean, log_var = self.down(self._told(z, t)).float().chunk(2, 1)
        return mean + z, (log_var - 1).clamp(-10, 5)

    def posterior(self, x0: Tensor, z: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z_t-1 | z_t, x0) of a fixed encoder (Luo eq. 84)."""
        mean, variance = posterior(x0, z, cosine, self.time(t - 1), self.time(t))
        return mean.float(), variance.log().float().expand_as(z)

    def chain(self, x: Tensor) -> dict[str, Tensor]:
        """The negative ELBO from one walk up the chain: reconstruction, kl_1 .. kl_T, (B,) in nats.

        kl_t = log q(z_t | z_t-1) - log p(z_t | z_t+1) of the drawn z (Luo eq. 32), for z_T exact.
        """
        above, ups = (2 * x - 1).flatten(1), []
        zs = [above]
        for t in range(1, self.steps + 1):
            mean, log_var = self.q(above, t)
            above = mean + (log_var / 2).exp() * torch.randn_like(mean)
            zs.append(above)
            ups.append((mean, log_var))
        terms = {"reconstruction": bernoulli_nll(self.x_logits(zs[1]), x)}
        for t in range(1, self.steps):
            drawn = zs[t]
            cost = normal_log_density(drawn, *ups[t - 1])
            cost = cost - normal_log_density(drawn, *self.p(zs[t + 1], t + 1))
            terms[f"kl_{t}"] = cost.sum(1)
        terms[f"kl_{self.steps}"] = kl_to_standard_normal(*ups[-1]).sum(1)
        return terms

    def diffusion(self, x: Tensor) -> dict[str, Tensor]:
        """The same bound as a diffusion model has it, for a fixed encoder (Luo eq. 58), in nats.

        kl_t = KL(q(z_t | z_t+1, x) || p(z_t | z_t+1)), each level drawn at once from q(z_t | x);
        kl_T = KL(q(z_T | x) || p(z_T)). Equal to `chain` in the mean, with less variance.
        """
        x0 = (2 * x - 1).flatten(1)
        drawn = []
        for t in range(1, self.steps + 1):
            alpha, sigma = (part.float() for part in cosine(self.time(t)))
            drawn.append(mix(x0, torch.randn_like(x0), alpha, sigma))
        terms = {"reconstruction": bernoulli_nll(self.x_logits(drawn[0]), x)}
        for t in range(1, self.steps):
            z = drawn[t]
            exact, guess = self.posterior(x0, z, t + 1), self.p(z, t + 1)
            terms[f"kl_{t}"] = kl_between_normals(*exact, *guess).sum(1)
        log_var = (2 * sigma.log()).expand_as(x0)
        terms[f"kl_{self.steps}"] = kl_to_standard_normal(alpha * x0, log_var).sum(1)
        return terms

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The negative ELBO in nats, in the form of least variance: see `chain`, `diffusion`."""
        return self.diffusion(x) if self.fixed else self.chain(x)

    loss = forward

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> Iterator[Step]:
        """n pictures, one Step a level from z_T down: x = z_t, t = t / T, and the picture at 0.

        x0 is the network's guess of the picture, where the encoder is fixed; else what the rest of
        the chain makes of z_t by its means.
        """
        draw = seeded_noise((n, self.dims), seed)
        z = draw().to(self.device)
        for t in range(self.steps, 0, -1):
            yield Step(torch.tensor(t / self.steps), z, self._guess(z, t), None)
            if t > 1:
                mean, log_var = self.p(z, t)
                z = mean + (log_var / 2).exp() * draw().to(self.device)
        x0 = self._guess(z, 1)
        yield Step(torch.zeros(()), x0, x0, None)

    def _guess(self, z: Tensor, t: int) -> Tensor:
        if not self.fixed:
            for s in range(t, 1, -1):
                z, _ = self.p(z, s)
            t = 1
        return self.x_logits(z, t).sigmoid()


class Road(nn.Module):
    """The four stages, from no restriction to all three, trained side by side."""

    def __init__(self, stages: list[MarkovHVAE] | None = None):
        super().__init__()
        self.stages = nn.ModuleList(stages or (MarkovHVAE(count) for count in range(4)))

    def __getitem__(self, restrictions: int) -> MarkovHVAE:
        return self.stages[restrictions]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The negative ELBO of each stage in nats, (B,)."""
        return {f"{k}_restrictions": sum(m(x).values()) for k, m in enumerate(self.stages)}

    loss = forward

    def sample(self, n: int, seed: int = 0) -> Iterator[Step]:
        """n pictures of each stage in one Step, stages one after another."""
        drawn = [list(stage.sample(n, seed))[-1] for stage in self.stages]
        yield Step(torch.zeros(()), drawn[0].x, torch.cat([step.x0 for step in drawn]), None)

    def save_pretrained(self, folder: Path) -> None:
        """Writes each stage into a folder of its own."""
        for k, stage in enumerate(self.stages):
            stage.save_pretrained(Path(folder) / f"{k}-restrictions")

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Road":
        """Opens such a folder."""
        return cls([MarkovHVAE.from_pretrained(folder / f"{k}-restrictions") for k in range(4)])
