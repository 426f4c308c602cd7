"""What is trained, on what and for how long: one frozen dataclass an experiment, one dictionary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from diffuser.autoencoders import AutoEncoder
from diffuser.data import digits, emoji
from diffuser.diffusion import Diffusion
from diffuser.judges import Judge
from diffuser.latents import LatentAutoencoder

Batches = Callable[[int, int, torch.Generator], tuple[Tensor, ...]]
"""(step, size, generator) -> the tensors that the model's loss takes."""


@dataclass(frozen=True)
class Experiment:
    """A model, its data and the settings of its training."""

    about: str
    model: Callable[[], nn.Module]
    """The model, untrained."""
    open: Callable[[Path], nn.Module]
    """The model from a folder in `weights/`."""
    data: Callable[[], Batches]
    steps: int
    batch: int = 256
    rate: float = 1e-3
    rise: int = 200
    """Steps over which the learning rate rises."""
    decay: float = 1.0
    """Share of the steps, at the end, over which it falls."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    ramp: Mapping[str, int] = field(default_factory=dict)
    """Loss terms that come in linearly, and over how many steps."""
    pure_bf16: bool = False
    """Compute in bf16 weights, where the processor gains by it, instead of casting each product."""
    sheet: Callable[[nn.Module], Tensor] | None = None
    """Pictures (N, C, H, W) in [0, 1] to judge the run by: the same ones every time."""
    seed: int = 0


def epochs(n: int, step: int, size: int, seed: int) -> Tensor:
    """Indices of batch `step` when n examples are shuffled anew each epoch: (size,)."""
    per_epoch = max(1, n // size)
    order = _order(n, seed + step // per_epoch)
    start = (step % per_epoch) * size
    return order[start : start + size]


_orders: dict[tuple[int, int], Tensor] = {}


def _order(n: int, seed: int) -> Tensor:
    if (n, seed) not in _orders:
        _orders.clear()
        _orders[n, seed] = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return _orders[n, seed]


def shift(x: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """Each picture (B, C, H, W) moved by up to `reach` pixels either way; zeros come in."""
    side = x.shape[-1]
    padded = nn.functional.pad(x, (reach,) * 4)
    down, right = torch.randint(0, 2 * reach + 1, (2, len(x), 1), generator=generator)
    rows = (down + torch.arange(side)).view(-1, 1, side, 1)
    columns = (right + torch.arange(side)).view(-1, 1, 1, side)
    batch = torch.arange(len(x)).view(-1, 1, 1, 1)
    channels = torch.arange(x.shape[1]).view(1, -1, 1, 1)
    return padded[batch, channels, rows, columns]


def warp(x: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Each picture turned, scaled, sheared and moved a little, at random; zeros come in."""
    n = len(x)
    bend = (torch.rand(n, 2, 2, generator=generator) - 0.5) * 0.35 * strength
    move = (torch.rand(n, 2, 1, generator=generator) - 0.5) * 0.25 * strength
    theta = torch.cat([torch.eye(2) + bend, move], dim=2)
    grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def digit_batches(
    labels: bool = False, signed: bool = False, reach: int = 0, warped: bool = False
) -> Batches:
    """The 60,000 training digits, (B, 1, 28, 28) in [0, 1] or, signed, in [-1, 1]."""
    pictures, classes = (torch.from_numpy(a) for a in digits("train"))

    def batch(step: int, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        index = epochs(len(pictures), step, size, seed=0)
        x = pictures[index, None].float() / 255
        if warped:
            x = warp(x, generator)
        if reach:
            x = shift(x, reach, generator)
        x = 2 * x - 1 if signed else x
        return (x, classes[index]) if labels else (x,)

    return batch


def emoji_pictures(split: tuple[int, ...] = (0,)) -> Tensor:
    """RGBA pictures of those splits, (N, 64, 64, 4) of bytes."""
    data = emoji.load()
    return torch.from_numpy(data.images[np.isin(data.split, split)])


def emoji_batches() -> Batches:
    """Training emoji (B, 3, 64, 64) in [-1, 1]: on white or a colour, moved, some recoloured."""
    pictures = emoji_pictures()

    def batch(step: int, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        rgba = pictures[epochs(len(pictures), step, size, seed=0)].permute(0, 3, 1, 2).float() / 255
        rgba = shift(rgba, 4, generator)
        flip = torch.rand(size, 1, 1, 1, generator=generator) < 0.5
        rgba = torch.where(flip, rgba.flip(-1), rgba)
        colour = torch.rand(size, 3, 1, 1, generator=generator)
        colour = torch.where(torch.rand(size, 1, 1, 1, generator=generator) < 0.6, 1.0, colour)
        x = rgba[:, 3:] * rgba[:, :3] + (1 - rgba[:, 3:]) * colour
        if torch.rand((), generator=generator) < 0.3:
            x = x[:, torch.randperm(3, generator=generator)]
        return (2 * x - 1,)

    return batch


def reconstruction_sheet(model: LatentAutoencoder) -> Tensor:
    """32 held-out emoji, each row of 16 above its reconstruction."""
    rgba = emoji_pictures((1, 2))[::7][:32].permute(0, 3, 1, 2).float() / 255
    x = rgba[:, 3:] * rgba[:, :3] + 1 - rgba[:, 3:]
    y = model.decode(model.encode(2 * x - 1)).float() / 2 + 0.5
    return torch.cat([x[:16], y[:16], x[16:], y[16:]]).clamp(0, 1)


def prior_sheet(model: AutoEncoder) -> Tensor:
    """64 pictures from the prior."""
    return next(model.sample(64)).x0


def class_sheet(model: Diffusion) -> Tensor:
    """Eight pictures of each digit, guidance 2, 20 steps."""
    *_, last = model.sample(
        80, [i // 8 for i in range(80)], guidance=2.0, sampler="dpmpp-2m", steps=20
    )
    return ((last.x + 1) / 2).clamp(0, 1)


def autoencoder(latent_dim: int, steps: int, about: str, variational: bool = True) -> Experiment:
    """A residual MLP on grey digits; a VAE's KL comes in over the first thousand steps."""
    return Experiment(
        about=about,
        model=partial(AutoEncoder, latent_dim, variational),
        open=AutoEncoder.from_pretrained,
        data=digit_batches,
        steps=steps,
        ramp={"kl": 1000},
        ema=0.998,
        sheet=prior_sheet,
    )


def digit_unet() -> UNet2DModel:
    """The stock class: 28 -> 14 -> 7, attention at 7 x 7, ten classes and "none"."""
    return UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 64, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        norm_num_groups=8,
        num_class_embeds=11,
    )


EXPERIMENTS: dict[str, Experiment] = {
    "ae-2d": autoencoder(2, 6000, "plain autoencoder, 2-D code", variational=False),
    "vae-2d": autoencoder(2, 14000, "variational autoencoder, 2-D latent"),
    "vae-20d": autoencoder(20, 12000, "variational autoencoder, 20-D latent"),
    "ddpm-digits": Experiment(
        about="class-conditional diffusion model of digits",
        model=lambda: Diffusion(digit_unet(), "linear", "v"),
        open=Diffusion.from_pretrained,
        data=partial(digit_batches, labels=True, signed=True),
        steps=2400,
        batch=128,
        decay=0.5,
        optimizer="muon",
        pure_bf16=True,
        sheet=class_sheet,
    ),
    "text-to-image-vae": Experiment(
        about="autoencoder of emoji, 64 x 64 to 16 x 16 x 4",
        model=LatentAutoencoder,
        open=LatentAutoencoder.from_pretrained,
        data=emoji_batches,
        steps=1500,
        batch=16,
        rate=2e-3,
        decay=0.6,
        optimizer="muon",
        ema=0.995,
        pure_bf16=True,
        sheet=reconstruction_sheet,
    ),
    "judge-digits": Experiment(
        about="classifier of digits, the judge of generated ones",
        model=Judge,
        open=Judge.from_pretrained,
        data=partial(digit_batches, labels=True, signed=True, warped=True),
        steps=3500,
        batch=192,
        optimizer="muon",
    ),
}
