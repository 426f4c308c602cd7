"""The few networks that diffusers has no class for, by size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Sequential):
    """x + Linear(GELU(Linear(LayerNorm(x)))), (B, width) -> (B, width).

    The branch starts at zero, so that a deep stack starts as a plain map.
    """

    def __init__(self, width: int):
        last = nn.Linear(width, width)
        super().__init__(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), last)
        nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class ResidualMLP(nn.Module):
    """Linear, `blocks` residual blocks, LayerNorm, GELU, Linear; (B, inputs) -> (B, outputs)."""

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int):
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.blocks(self.enter(x)))


class ConvBlock(nn.Module):
    """Residual 3x3 convolutions with GroupNorm; (B, inputs, H, W) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, groups: int = 8):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(groups, outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(groups, outputs),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.skip(x) + self.body(x))


class ConvFeatures(nn.Module):
    """A picture as one vector: residual stages, each halving the side, then the mean over places.

    (B, channels, H, W) -> (B, widths[-1]). Both judges stand on it. A stem, for larger pictures,
    is a wide convolution of that many channels that, with its pool, takes a quarter of the side.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], dropout: float = 0.0, stem: int = 0):
        super().__init__()
        stages: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1), nn.SiLU()]
        if stem:
            stages = [nn.Conv2d(channels, stem, 6, 2, 2), nn.SiLU(), nn.MaxPool2d(2)]
        for inputs, outputs in zip((stem or widths[0], *widths), widths, strict=False):
            stages += [ConvBlock(inputs, outputs), nn.MaxPool2d(2)]
        self.stages = nn.Sequential(*stages[:-1])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(x.contiguous(memory_format=torch.channels_last))
        return self.dropout(x.mean((2, 3)))
