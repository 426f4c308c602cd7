"""Diffusion models on pixels: a network, a schedule, and the spelling that it predicts."""

from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from diffuser.gaussian import Kind, mix, resolve, target
from diffuser.samplers import Step, named, seeded_noise, trailing
from diffuser.schedules import SCHEDULES
from diffuser.stock import TRAIN_STEPS, schedule_and_kind, stock_scheduler


def guided(cond: Tensor, uncond: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance by diffusers' convention, u + w (c - u): 1 is none, 0 ignores c."""
    return uncond + guidance * (cond - uncond)


def plain_attention(network: nn.Module) -> None:
    """Attention as two matrix products and a softmax: on CPUs its backward is the quickest."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())


def stratified_times(n: int, device: torch.device) -> Tensor:
    """n times uniform on (0, 1], one in each n-th part: less variance than n independent draws."""
    offset = torch.rand((), device=device)
    return 1 - (torch.arange(n, device=device) / n + offset) % 1


class Diffusion(nn.Module):
    """A class-conditional diffusion model of pictures in [-1, 1], shape (B, C, H, W).

    The network is a stock `UNet2DModel` with one class more than there are labels: the last is
    "no label", which guidance needs.
    """

    def __init__(self, unet: UNet2DModel, schedule: str = "linear", kind: Kind = "v"):
        super().__init__()
        plain_attention(unet)
        self.unet, self.schedule_name, self.kind = unet, schedule, kind
        self.schedule = SCHEDULES[schedule]
        self.no_label = unet.config.num_class_embeds - 1
        side = unet.config.sample_size
        self.shape = (unet.config.in_channels, side, side)
        self.drop_label = 0.1

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def _network(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        index = (t * TRAIN_STEPS - 1).expand(len(x))
        x_in = x.to(self.unet.dtype).contiguous(memory_format=torch.channels_last)
        return self.unet(x_in, index, class_labels=label).sample.to(x.dtype)

    def forward(self, x: Tensor, label: Tensor) -> dict[str, Tensor]:
        """The simple loss (Ho et al. 2020, eq. 14) of each picture: squared error, mean of pixels.

        x (B, C, H, W) in [-1, 1], label (B,) of ints. Not nats.
        """
        t = stratified_times(len(x), x.device)
        eps = torch.randn_like(x)
        alpha, sigma = self.schedule(t)
        dropped = torch.rand(len(x), device=x.device) < self.drop_label
        label = label.masked_fill(dropped, self.no_label)
        output = self._network(mix(x, eps, alpha, sigma), t, label)
        error = (output - target(self.kind, x, eps, alpha, sigma)) ** 2
        return {"simple": error.flatten(1).mean(1)}

    loss = forward

    def denoise(
        self, x: Tensor, t: Tensor, label: Tensor | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """The estimates (x0, eps), each (B, C, H, W), at time t, () or (B,).

        label: (B,) of ints, or None for no label. Guidance: see `guided`; both branches run as
        one batch.
        """
        none = torch.full((len(x),), self.no_label, device=x.device)
        if label is None or guidance == 0:
            output = self._network(x, t, none)
        elif guidance == 1:
            output = self._network(x, t, label)
        else:
            both = self._network(
                torch.cat([x, x]), torch.cat([t.expand(len(x))] * 2), torch.cat([label, none])
            )
            output = guided(*both.chunk(2), guidance)
        return resolve(self.kind, output, x, *self.schedule(t))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        label: int | list[int] | None = None,
        guidance: float = 1.0,
        sampler: str = "ddim",
        steps: int = 50,
        eta: float = 0.0,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Iterator[Step]:
        """Yields steps + 1 Steps from noise at t = 1 to n pictures at t = 0.

        label: one for all, or one each; picture i draws its noise from seed + i alone. noise,
        (n, C, H, W), when given, is the start. eta counts for the sampler "ddim" only.
        """
        draw = seeded_noise((n, *self.shape), seed)
        start = self.schedule(torch.ones(()))[1] * draw() if noise is None else noise
        if label is not None:
            labels = [label] * n if isinstance(label, int) else label
            label = torch.tensor(labels, device=self.device)
        yield from named(sampler, eta)(
            lambda x, t: self.denoise(x, t, label, guidance),
            self.schedule,
            start.to(self.device),
            trailing(steps),
            lambda: draw().to(self.device),
        )

    def save_pretrained(self, folder: Path) -> None:
        """Writes unet/ and scheduler/, which stock `UNet2DModel` and `DDIMScheduler` open."""
        self.unet.save_pretrained(folder / "unet")
        stock_scheduler(self.schedule_name, self.kind).save_pretrained(folder / "scheduler")

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Diffusion":
        """Opens such a folder, in fp32."""
        unet = UNet2DModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        return cls(unet, *schedule_and_kind(DDIMScheduler.load_config(folder / "scheduler")))
