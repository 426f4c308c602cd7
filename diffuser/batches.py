"""Training batches: pure functions of the step, so that a resumed run sees what it would have."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import AutoTokenizer

from diffuser.data import cache_dir, digits, emoji
from diffuser.device import fast_dtype
from diffuser.latents import LatentAutoencoder

Batches = Callable[[int, int, torch.Generator], tuple[Tensor, ...]]
"""(step, size, generator) -> the tensors that the model's loss takes."""


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


def warp(x: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Each picture turned, scaled, sheared and moved a little, at random; zeros come in."""
    n = len(x)
    bend = (torch.rand(n, 2, 2, generator=generator) - 0.5) * 0.35 * strength
    move = (torch.rand(n, 2, 1, generator=generator) - 0.5) * 0.25 * strength
    theta = torch.cat([torch.eye(2) + bend, move], dim=2)
    grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def digit_batches(
    labels: bool = False,
    signed: bool = False,
    binary: bool = False,
    warping: float = 0.0,
    until: int | None = None,
) -> Batches:
    """The 60,000 training digits, (B, 1, 28, 28) in [0, 1] or, signed, in [-1, 1].

    binary: each pixel is drawn anew, 1 with its grey value as probability (dynamic binarisation).
    warping: how much each is turned, stretched and moved; 1 is as much as a digit can bear and
    still be read. With `until` fewer and fewer are, and none once that many have been seen (by
    all processes together, so that their number does not matter).
    """
    pictures, classes = (torch.from_numpy(a) for a in digits("train"))

    def batch(step: int, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        index = epochs(len(pictures), step, size, seed=0)
        x = pictures[index, None].float() / 255
        seen = step * size
        if warping and not (until and seen >= until):
            some = math.ceil(size * (1 - seen / until)) if until else size
            x[:some] = warp(x[:some], generator, warping)
        x = torch.bernoulli(x.clamp(0, 1), generator=generator) if binary else x
        x = 2 * x - 1 if signed else x
        return (x, classes[index]) if labels else (x,)

    return batch


def emoji_pictures(split: tuple[int, ...] = (0,)) -> Tensor:
    """RGBA pictures of those splits, (N, 64, 64, 4) of bytes."""
    data = emoji.load()
    return torch.from_numpy(data.images[np.isin(data.split, split)])


def on_ground(rgba: Tensor, colour: Tensor | float = 1.0) -> Tensor:
    """RGBA (B, 4, H, W) in [0, 1], not premultiplied, on a colour: (B, 3, H, W)."""
    alpha = rgba[:, 3:]
    return alpha * rgba[:, :3] + (1 - alpha) * colour


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
        x = on_ground(rgba, colour)
        if torch.rand((), generator=generator) < 0.3:
            x = x[:, torch.randperm(3, generator=generator)]
        return (2 * x - 1,)

    return batch


@torch.no_grad()
def normalise_latents(autoencoder: LatentAutoencoder) -> None:
    """Gives the latents of training emoji mean 0 and deviation 1 in each channel."""
    rgba = emoji_pictures()[::6].permute(0, 3, 1, 2).float() / 255
    x = 2 * on_ground(rgba) - 1
    z = torch.cat([autoencoder.encode(part) for part in x.split(64)]).float()
    autoencoder.normalise(z.mean((0, 2, 3)), z.std((0, 2, 3)))


def judged_emoji_batches() -> Batches:
    """Training emoji (B, 3, 64, 64) in [-1, 1] with their concepts, spoilt as a sampler might.

    Turned by up to 10 degrees, scaled by 0.85 to 1.1, moved by up to 4 pixels; half on white, half
    on one of the backgrounds; brightness, contrast and tint a little off; some soft, some noisy.
    Never mirrored: an arrow would change its name.
    """
    data = emoji.load()
    pictures, classes = emoji_pictures(), torch.from_numpy(data.concept[data.split == emoji.TRAIN])
    colours = torch.tensor([rgb for _, rgb in emoji.BACKGROUNDS]) / 255

    def batch(step: int, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(size, *shape, generator=generator)

        index = epochs(len(pictures), step, size, seed=0)
        rgba = pictures[index].permute(0, 3, 1, 2).float() / 255
        rgba[:, :3] *= rgba[:, 3:]  # edges mix colours by how much of them there is
        angle, scale = uniform(-0.17, 0.17), 1 / uniform(0.85, 1.1)
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
        theta = torch.cat([turn * scale[:, None, None], uniform(-0.125, 0.125, 2, 1)], 2)
        grid = nn.functional.affine_grid(theta, list(rgba.shape), align_corners=False)
        rgba = nn.functional.grid_sample(rgba, grid, align_corners=False)
        ground = torch.randint(1, len(colours), (size,), generator=generator)
        ground = torch.where(uniform(0, 1) < 0.5, 0, ground)
        x = rgba[:, :3] + (1 - rgba[:, 3:]) * colours[ground][:, :, None, None]
        x = x * uniform(0.85, 1.15, 1, 1, 1) * uniform(0.93, 1.07, 3, 1, 1)
        x = x + uniform(-0.06, 0.06, 1, 1, 1)
        soft = nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        x = torch.lerp(x, soft, (uniform(-1, 1, 1, 1, 1)).clamp(min=0))
        noise = torch.randn(x.shape, generator=generator)
        x = x + noise * uniform(-0.06, 0.06, 1, 1, 1).clamp(min=0)
        return 2 * x.clamp(0, 1) - 1, classes[index]

    return batch


VARIANTS = ((False, False), (False, True), (True, False), (True, True))
"""Of each picture four latents are kept: (on a colour, moved by up to 2 pixels)."""
SHARES = (0.45, 0.3, 0.15, 0.1)


@torch.no_grad()
def emoji_latents(autoencoder: LatentAutoencoder, digest: str) -> tuple[Tensor, Tensor]:
    """Latents of all pictures, (P, 4, 4, 16, 16) fp16, and their backgrounds, (P, 4) of indices.

    Kept in the cache under the digest of the autoencoder's weights.
    """
    file = cache_dir() / f"emoji-latents-{digest}.pt"
    if file.exists():
        return tuple(torch.load(file, weights_only=True))
    rgba = torch.from_numpy(emoji.load().images).permute(0, 3, 1, 2)
    autoencoder.to(fast_dtype(torch.device("cpu")))
    colours = torch.tensor([rgb for _, rgb in emoji.BACKGROUNDS]) / 255
    generator = torch.Generator().manual_seed(0)
    coloured = torch.tensor([c for c, _ in VARIANTS])
    ground = torch.randint(1, len(colours), (len(rgba), 4), generator=generator) * coloured
    latents = torch.empty(len(rgba), 4, 4, 16, 16, dtype=torch.float16)
    for start in tqdm(range(0, len(rgba), 64), desc="latents"):
        part = rgba[start : start + 64].float() / 255
        for v, (_, moved) in enumerate(VARIANTS):
            x = shift(part, 2, generator) if moved else part
            colour = colours[ground[start : start + 64, v]][:, :, None, None]
            x = 2 * (x[:, 3:] * x[:, :3] + (1 - x[:, 3:]) * colour) - 1
            latents[start : start + 64, v] = autoencoder.encode(x).half()
    torch.save((latents, ground), file)
    return latents, ground


def caption_batches(folder: Path, split: int = emoji.TRAIN) -> Batches:
    """Latents (B, 4, 16, 16) with captions as ids and mask (B, L); one in ten without words.

    folder: where the autoencoder (`vae/`) and the `tokenizer/` are.
    """
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    latents, ground = emoji_latents(LatentAutoencoder.from_pretrained(folder), digest)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    pictures = emoji.load()
    ours = torch.from_numpy(np.flatnonzero(pictures.split == split))
    names = [name for name, _ in emoji.BACKGROUNDS]

    def batch(step: int, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        index = ours[epochs(len(ours), step, size, seed=0)]
        variant = torch.multinomial(torch.tensor(SHARES), size, True, generator=generator)
        rng = np.random.default_rng(generator.initial_seed())
        words = [
            "" if rng.random() < 0.1 else pictures.caption(rng, int(i), names[ground[i, v]])
            for i, v in zip(index, variant, strict=True)
        ]
        tokens = tokenizer(words, padding="max_length", truncation=True, return_tensors="pt")
        return latents[index, variant].float(), tokens.input_ids, tokens.attention_mask

    return batch
