"""Autoencoder and variational autoencoder: one class, with or without the noise and the prior."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from diffuser.likelihood import (
    bernoulli_nll,
    importance_bound,
    kl_to_standard_normal,
    normal_log_density,
)
from diffuser.networks import ResidualMLP
from diffuser.samplers import Step, seeded_noise


class AutoEncoder(ModelMixin, ConfigMixin):
    """Pictures (B, 1, side, side) in [0, 1] to latents (B, latent_dim) and back.

    `variational=False` is a plain autoencoder: no log-variance, no noise, no KL term.
    `importance` is the number of draws in the bound that it is trained on: more than one makes it
    an importance-weighted autoencoder (Burda et al. 2016). `textbook` networks have one layer of
    ReLU each way and nothing else.
    """

    @register_to_config
    def __init__(
        self,
        latent_dim: int = 2,
        variational: bool = True,
        side: int = 28,
        width: int = 512,
        encoder_blocks: int = 2,
        decoder_blocks: int = 3,
        importance: int = 1,
        textbook: bool = False,
    ):
        super().__init__()
        self.latent_dim, self.variational, self.importance = latent_dim, variational, importance
        self.shape = (1, side, side)
        outputs = 2 * latent_dim if variational else latent_dim
        if textbook:
            self.encoder, self.decoder = (
                nn.Sequential(nn.Linear(a, width), nn.ReLU(), nn.Linear(width, b))
                for a, b in ((side * side, outputs), (latent_dim, side * side))
            )
        else:
            self.encoder = ResidualMLP(side * side, outputs, width, encoder_blocks)
            self.decoder = ResidualMLP(latent_dim, side * side, width, decoder_blocks)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and log-variance of q(z | x), each (B, latent_dim); None for a plain autoencoder."""
        code = self.encoder((2 * x.flatten(1) - 1).to(self.dtype))
        if not self.variational:
            return code, None
        mean, log_var = code.chunk(2, dim=1)
        return mean, log_var.clamp(-20, 10)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Logits of the pixels' Bernoulli means, (B, 1, side, side)."""
        return self.decoder(z.to(self.dtype)).view(-1, *self.shape)

    def decode(self, z: Tensor) -> Tensor:
        """Pixel probabilities in [0, 1], (B, 1, side, side)."""
        return self.decode_logits(z).sigmoid()

    def elbo(self, x: Tensor, eps: Tensor | None = None) -> dict[str, Tensor]:
        """The negative ELBO (Luo eq. 19) of each picture, in nats: reconstruction (B,), kl (B,).

        One draw z = mean + exp(log_var / 2) eps, with fresh eps unless (B, latent_dim) is given.
        With grey pixels the reconstruction is a cross-entropy that compares models but is not a
        likelihood.
        """
        mean, log_var = self.encode(x)
        z = mean
        if log_var is not None:
            eps = torch.randn_like(mean) if eps is None else eps
            z = mean + (log_var / 2).exp() * eps
        terms = {"reconstruction": bernoulli_nll(self.decode_logits(z).float(), x)}
        if log_var is not None:
            terms["kl"] = kl_to_standard_normal(mean.float(), log_var.float()).sum(1)
        return terms

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """What is minimised: the terms of `elbo`; with importance draws "negative_bound" (B,)."""
        if self.importance == 1:
            return self.elbo(x)
        return {"negative_bound": -importance_bound(self.log_weights(x, self.importance))}

    loss = forward

    def log_weights(
        self, x: Tensor, count: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """log p(x, z) - log q(z | x) in nats for `count` draws z of q of each picture: (B, count).

        `importance_bound` makes a bound of them, which for binary pictures tends to log p(x).
        """
        mean, log_var = (part.float().unsqueeze(1) for part in self.encode(x))
        eps = torch.randn(len(x), count, self.latent_dim, generator=generator).to(mean)
        z = mean + (log_var / 2).exp() * eps
        logits = self.decode_logits(z.flatten(0, 1)).float().view(len(x), count, -1)
        # log Bernoulli(x) = x logit - softplus(logit), and x is the same for all draws
        pixels = (logits @ x.flatten(1).unsqueeze(2)).squeeze(2) - F.softplus(logits).sum(2)
        prior = normal_log_density(z, torch.zeros_like(z), torch.zeros_like(z)).sum(2)
        return pixels + prior - normal_log_density(z, mean, log_var).sum(2)

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> Iterator[Step]:
        """n pictures from the prior, in one Step: x the latents z ~ N(0, I), x0 the pictures."""
        z = seeded_noise((n, self.latent_dim), seed)().to(self.device)
        yield Step(torch.zeros(()), z, self.decode(z), None)
