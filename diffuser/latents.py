"""The autoencoder of latent diffusion: 64 x 64 pictures to 16 x 16 x 4 latents and back."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn


def latent_vae() -> AutoencoderKL:
    """The stock class, small: 64 -> 32 -> 16, four channels, no attention."""
    return AutoencoderKL(
        sample_size=64,
        in_channels=3,
        out_channels=3,
        block_out_channels=(32, 64, 128),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


class LatentAutoencoder(nn.Module):
    """An `AutoencoderKL` with a fixed posterior width: pictures (B, 3, 64, 64) in [-1, 1].

    Its noise is fixed instead of learned: the decoder sees latents of about unit size with 0.05
    of noise, which is what a sampler's small errors will look like to it.
    """

    noise = 0.05

    def __init__(self, vae: AutoencoderKL | None = None):
        super().__init__()
        self.vae = latent_vae() if vae is None else vae

    def encode(self, x: Tensor) -> Tensor:
        """Latents (B, 4, H / 4, W / 4), without noise."""
        x = x.to(self.vae.dtype).contiguous(memory_format=torch.channels_last)
        return self.vae.encode(x).latent_dist.mode()

    def decode(self, z: Tensor) -> Tensor:
        """Pictures in about [-1, 1] from latents."""
        z = z.to(self.vae.dtype).contiguous(memory_format=torch.channels_last)
        return self.vae.decode(z).sample

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Absolute and squared error, error of edges, and the size of the latents; (B,) each.

        Edges (differences of neighbours) weigh as much as surfaces: outlines make an emoji.
        """
        z = self.encode(x)
        y = self.decode(z + self.noise * torch.randn_like(z)).float()
        edges = (y - x).diff(dim=-1).abs().mean((1, 2, 3)) + (y - x).diff(dim=-2).abs().mean(
            (1, 2, 3)
        )
        return {
            "l1": (y - x).abs().mean((1, 2, 3)),
            "l2": 2 * ((y - x) ** 2).mean((1, 2, 3)),
            "edges": 0.5 * edges,
            "prior": 1e-3 * z.float().square().mean((1, 2, 3)),
        }

    loss = forward

    @torch.no_grad()
    def normalise(self, mean: Tensor, std: Tensor) -> None:
        """Folds (z - mean) / std, (4,) each, into the 1 x 1 convolutions around the latents.

        After it the latents of the measured pictures have mean 0 and deviation 1 in each channel,
        a stock pipeline needs no scaling factor, and the posterior's width is `noise`.
        """
        before, after = self.vae.quant_conv, self.vae.post_quant_conv
        channels = len(mean)
        before.weight[:channels] /= std.view(-1, 1, 1, 1)
        before.bias[:channels] = (before.bias[:channels] - mean) / std
        before.weight[channels:] = 0
        before.bias[channels:] = 2 * torch.log(self.noise / std)
        after.bias += after.weight[:, :, 0, 0] @ mean
        after.weight *= std.view(1, -1, 1, 1)

    def save_pretrained(self, folder: Path) -> None:
        """Writes vae/ as the stock class does."""
        self.vae.save_pretrained(folder / "vae")

    @classmethod
    def from_pretrained(cls, folder: Path) -> "LatentAutoencoder":
        """Opens such a folder, in fp32."""
        return cls(AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32))
