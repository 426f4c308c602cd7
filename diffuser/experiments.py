"""What is trained, on what and for how long: one frozen dataclass an experiment, one dictionary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from diffusers import UNet2DModel
from torch import Tensor, nn

from diffuser.ablations import Family
from diffuser.autoencoders import AutoEncoder
from diffuser.batches import (
    Batches,
    caption_batches,
    digit_batches,
    emoji_batches,
    judged_emoji_batches,
    normalise_latents,
)
from diffuser.diffusion import Diffusion
from diffuser.hierarchical import HierarchicalVAE
from diffuser.judges import Judge
from diffuser.latents import LatentAutoencoder
from diffuser.lessons import sentence_batches
from diffuser.sheets import (
    class_sheet,
    family_sheet,
    level_sheet,
    prior_sheet,
    prompt_sheet,
    reconstruction_sheet,
)
from diffuser.text_encoder import Distillation
from diffuser.text_to_image import TextToImage

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
PIPELINE = WEIGHTS / "text-to-image"
"""Where the autoencoder and the text encoder lie, and then the denoiser trained on them."""


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
    within: str | None = None
    """The model in whose folder its weights lie, as a part of it; the card has its own folder."""
    start: str | None = None
    """The experiment from whose weights a first run begins; random ones where None."""
    finish: Callable[[nn.Module], None] | None = None
    """What is done to the averaged model, once, before it ships."""
    sheet: Callable[[nn.Module], Tensor] | None = None
    """Pictures (N, C, H, W) in [0, 1] to judge the run by: the same ones every time."""
    seed: int = 0


def autoencoder(
    latent_dim: int, steps: int, about: str, variational: bool = True, warping: float = 0.25
) -> Experiment:
    """A residual MLP on grey digits; a VAE's KL comes in over the first thousand steps."""
    return Experiment(
        about=about,
        model=partial(AutoEncoder, latent_dim, variational),
        open=AutoEncoder.from_pretrained,
        data=partial(digit_batches, warping=warping, until=256 * steps * 3 // 4),
        steps=steps,
        ramp={"kl": 1000},
        ema=0.998,
        sheet=prior_sheet,
    )


def binary_autoencoder(importance: int, steps: int, about: str, **settings) -> Experiment:
    """A residual MLP with 50 latent dimensions on binarised digits, the same for VAE and IWAE."""
    return Experiment(
        about=about,
        model=partial(AutoEncoder, 50, True, 28, 320, 1, 1, importance),
        open=AutoEncoder.from_pretrained,
        data=partial(digit_batches, binary=True),
        steps=steps,
        sheet=prior_sheet,
        **settings,
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
    "ae-2d": autoencoder(2, 5000, "plain autoencoder, 2-D code", variational=False),
    "vae-2d": autoencoder(2, 14000, "variational autoencoder, 2-D latent", warping=0.0),
    "vae-20d": autoencoder(20, 24000, "variational autoencoder, 20-D latent"),
    "vae-50d": binary_autoencoder(
        1, 20000, "variational autoencoder, 50-D latent, binary pixels", ramp={"kl": 2000}
    ),
    "iwae-50d": binary_autoencoder(
        50, 6000, "the same network, importance-weighted", start="vae-50d", batch=64, rate=5e-4
    ),
    "ablations": Experiment(
        about="VAEs with one part left out or changed",
        model=Family,
        open=Family.from_pretrained,
        data=digit_batches,
        steps=3000,
        clip=1e6,  # the norm is that of all members together: clipping would tie them to each other
        pure_bf16=True,
        sheet=family_sheet,
    ),
    "hvae": Experiment(
        about="hierarchical VAE of binary digits, four levels",
        model=HierarchicalVAE,
        open=HierarchicalVAE.from_pretrained,
        data=partial(digit_batches, binary=True, warping=0.25, until=256 * 8000 * 3 // 4),
        steps=8000,
        ramp={f"kl_{k}": 2000 for k in (1, 2, 3, 4)},
        clip=20.0,
        pure_bf16=True,
        sheet=level_sheet,
    ),
    "ddpm-digits": Experiment(
        about="class-conditional diffusion model of digits",
        model=lambda: Diffusion(digit_unet(), "linear", "v"),
        open=Diffusion.from_pretrained,
        data=partial(digit_batches, labels=True, signed=True),
        steps=1500,
        batch=64,
        decay=0.5,
        optimizer="muon",
        pure_bf16=True,
        sheet=class_sheet,
    ),
    "text-to-image": Experiment(
        about="latent diffusion of emoji from captions",
        model=partial(TextToImage.untrained, PIPELINE),
        open=TextToImage.from_pretrained,
        data=partial(caption_batches, PIPELINE),
        steps=2600,
        batch=64,
        rate=1.5e-3,
        decay=0.4,
        optimizer="muon",
        ema=0.998,
        pure_bf16=True,
        sheet=prompt_sheet,
    ),
    "text-to-image-vae": Experiment(
        about="autoencoder of emoji, 64 x 64 to 16 x 16 x 4",
        within="text-to-image",
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
        finish=normalise_latents,
        sheet=reconstruction_sheet,
    ),
    "text-to-image-text": Experiment(
        about="text encoder of prompts, distilled from all-MiniLM-L6-v2",
        within="text-to-image",
        model=Distillation.from_teacher,
        open=Distillation.from_pretrained,
        data=sentence_batches,
        steps=1200,
        batch=128,
        rate=7e-4,
        rise=100,
        ema=0.99,
        pure_bf16=True,
    ),
    "judge-digits": Experiment(
        about="classifier of digits, the judge of generated ones",
        model=Judge,
        open=Judge.from_pretrained,
        data=partial(digit_batches, labels=True, signed=True, warping=1.0),
        steps=2500,
        batch=192,
        optimizer="muon",
    ),
    "judge-emoji": Experiment(
        about="classifier of emoji, the judge of pictures drawn from words",
        model=partial(Judge, 3, 1161, widths=(64, 128, 256), stem=32),
        open=Judge.from_pretrained,
        data=judged_emoji_batches,
        steps=1800,
        batch=128,
        optimizer="muon",
        pure_bf16=True,
    ),
}
