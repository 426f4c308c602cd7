"""What each part of a VAE is for: nets that differ in one thing, trained on the same batches."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from diffuser.autoencoders import AutoEncoder
from diffuser.likelihood import bernoulli_nll, kl_to_standard_normal
from diffuser.samplers import Step


@dataclass(frozen=True)
class Ablation:
    """One member: its network, and what it is trained on instead of the ELBO."""

    about: str
    beta: float = 1.0
    """Weight of the KL term (Higgins et al. 2017); 1 / latent_dim averages it over dimensions."""
    noise: bool = True
    """Whether z = mean + std eps in training, or z = mean."""
    free_nats: float = 0.0
    """The KL of a dimension counts only above this (Kingma et al. 2016)."""
    pixels: Literal["bernoulli", "squared"] = "bernoulli"
    """Cross-entropy or squared error, both summed over the picture."""
    network: dict[str, Any] = field(default_factory=dict)
    """What its AutoEncoder has other than the family's own."""

    def model(self) -> AutoEncoder:
        """The network with random weights."""
        own = {"latent_dim": 2, "width": 128, "encoder_blocks": 1, "decoder_blocks": 2}
        return AutoEncoder(**{**own, **self.network})

    def objective(self, model: AutoEncoder, x: Tensor) -> Tensor:
        """What this member is trained on, of each picture (B, 1, 28, 28) in [0, 1]: (B,)."""
        mean, log_var = model.encode(x)
        z = mean
        if log_var is not None and self.noise:
            z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        logits = model.decode_logits(z).float()
        if self.pixels == "bernoulli":
            loss = bernoulli_nll(logits, x)
        else:
            loss = ((logits.sigmoid() - x) ** 2).flatten(1).sum(1)
        if log_var is None or self.beta == 0:
            return loss
        kl = kl_to_standard_normal(mean.float(), log_var.float())
        if self.free_nats:
            # the mean over the batch decides: single pictures may know more and others less
            kl = kl * (kl.mean(0, keepdim=True) > self.free_nats)
        return loss + self.beta * kl.sum(1)


TEN = {"latent_dim": 10}
TEXTBOOK = {"width": 256, "textbook": True}
BETAS = (0.0, 1.0, 2.0, 4.0, 8.0, 30.0)
FAMILY: dict[str, Ablation] = {
    "vae": Ablation("the whole VAE"),
    "no-noise": Ablation("a VAE without eps: z is the mean", noise=False),
    "no-kl": Ablation("a VAE without the KL term", beta=0.0),
    "ae": Ablation("a plain autoencoder", network={"variational": False}),
    **{f"beta-{b:g}": Ablation(f"10-D, KL weighted by {b:g}", b, network=TEN) for b in BETAS},
    "free-nats": Ablation(
        "10-D, KL weighted by 30, the first half nat of each dimension free",
        30.0,
        free_nats=0.5,
        network=TEN,
    ),
    "textbook-ce-sum": Ablation("784-256-2, cross-entropy, KL summed", network=TEXTBOOK),
    "textbook-ce-mean": Ablation("784-256-2, cross-entropy, KL averaged", 0.5, network=TEXTBOOK),
    "textbook-se-sum": Ablation(
        "784-256-2, squared error, KL summed", pixels="squared", network=TEXTBOOK
    ),
    "textbook-se-mean": Ablation(
        "784-256-2, squared error, KL averaged", 0.5, pixels="squared", network=TEXTBOOK
    ),
}
"""The members by name. The four textbook ones are the small network that introductions show."""


class Family(nn.Module):
    """All members, trained side by side on the same pictures, without touching each other."""

    def __init__(self, members: dict[str, AutoEncoder] | None = None):
        super().__init__()
        if members is None:
            members = {name: ablation.model() for name, ablation in FAMILY.items()}
        self.members = nn.ModuleDict(members)

    def __getitem__(self, name: str) -> AutoEncoder:
        return self.members[name]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """What each member is trained on, (B,); see `Ablation.objective`."""
        return {name: FAMILY[name].objective(net, x) for name, net in self.members.items()}

    loss = forward

    def sample(self, n: int, seed: int = 0) -> Iterator[Step]:
        """n pictures of each member from N(0, I) in one Step, members one after another."""
        steps = [next(net.sample(n, seed)) for net in self.members.values()]
        yield Step(torch.zeros(()), steps[0].x, torch.cat([s.x0 for s in steps]), None)

    def save_pretrained(self, folder: Path) -> None:
        """Writes each member into a folder of its own."""
        for name, net in self.members.items():
            net.save_pretrained(Path(folder) / name)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Family":
        """Opens such a folder."""
        return cls({name: AutoEncoder.from_pretrained(folder / name) for name in FAMILY})
