"""Sheets: the same pictures each time, to judge a run by looking."""

import torch
from torch import Tensor

from diffuser.autoencoders import AutoEncoder
from diffuser.batches import emoji_pictures
from diffuser.diffusion import Diffusion
from diffuser.latents import LatentAutoencoder


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
