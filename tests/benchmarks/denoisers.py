"""Three denoisers of text-to-image, trained for the same CPU time and compared.

    python tests/benchmarks/denoisers.py --minutes 6 --out weights/text-to-image/comparison.json

    unet     the project's stock `UNet2DConditionModel`
    pixart   a stock `PixArtTransformer2DModel`, called as `PixArtSigmaPipeline` calls it
    u-vit    a plain transformer with long skips; time and words are tokens (Bao et al. 2023)

Data, batch, seed, schedule, target, loss, optimiser and precision are those of the experiment
"text-to-image". Only the time of training steps is counted, by `time.process_time`; the networks
take turns, so that a busy machine slows all of them alike. The learning rate rises and falls with
the share of the time that is spent, to zero as it ends; the transformers are tried at the
experiment's rate and at half of it. Measured on the (concept, style) pairs held out, with the
averaged weights in fp32 and with the same noise, times and captions for all. Set the allocator as
the README says.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import ConfigMixin, ModelMixin, PixArtTransformer2DModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.embeddings import PatchEmbed, Timesteps
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[2]))
from diffuser.batches import Batches, caption_batches
from diffuser.data import emoji
from diffuser.experiments import EXPERIMENTS, PIPELINE
from diffuser.gaussian import mix, resolve, target
from diffuser.stock import TRAIN_STEPS
from diffuser.text_to_image import TextToImage, latent_unet
from diffuser.train import Trainer

EXPERIMENT = EXPERIMENTS["text-to-image"]
BANDS = ((0.7, 1.0), (0.35, 0.7), (0.05, 0.35))
"""Times, from much noise to little."""
DRAWS = 2  # of noise for each held-out picture and band


def pixart() -> PixArtTransformer2DModel:
    """The stock class, 320 channels x 10 blocks, 2 x 2 patches."""
    return PixArtTransformer2DModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        patch_size=2,
        num_attention_heads=5,
        attention_head_dim=64,
        num_layers=10,
        cross_attention_dim=320,
        caption_channels=384,
        norm_type="ada_norm_single",
    )


class PixArt(TextToImage):
    """TextToImage around a PixArt transformer, which is told where the padding is."""

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, L, C + 1): the last channel is the mask."""
        return torch.cat([super().states(ids, mask), mask[..., None]], 2)

    def _network(self, x: Tensor, t: Tensor, states: Tensor) -> Tensor:
        states = states.to(self.unet.dtype)
        return self.unet(
            x.to(self.unet.dtype),
            encoder_hidden_states=states[..., :-1],
            encoder_attention_mask=states[..., -1],
            timestep=(t * TRAIN_STEPS - 1).expand(len(x)),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        ).sample.to(x.dtype)


class UViT(ModelMixin, ConfigMixin):
    """Time, words and patches are the tokens of one plain transformer with long skips."""

    @register_to_config
    def __init__(
        self,
        sample_size: int = 16,
        in_channels: int = 4,
        patch: int = 2,
        width: int = 320,
        depth: int = 9,
        heads: int = 5,
        text_channels: int = 384,
    ):
        super().__init__()

        def blocks(n: int) -> nn.ModuleList:
            return nn.ModuleList(
                BasicTransformerBlock(
                    width, heads, width // heads, activation_fn="gelu", attention_bias=True
                )
                for _ in range(n)
            )

        self.time = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.words = nn.Linear(text_channels, width)
        self.patches = PatchEmbed(sample_size, sample_size, patch, in_channels, width)
        self.early, self.middle, self.late = blocks(depth // 2), blocks(1), blocks(depth // 2)
        self.skips = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth // 2))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, patch * patch * in_channels)
        self.side = sample_size // patch

    def forward(self, x: Tensor, index: Tensor, states: Tensor) -> Tensor:
        """x (B, C, H, W), index (B,) of times, states (B, L, text_channels) -> (B, C, H, W)."""
        time = self.time(index).to(x.dtype)[:, None]
        h = torch.cat([time, self.words(states), self.patches(x)], 1)
        kept = []
        for block in self.early:
            h = block(h)
            kept.append(h)
        h = self.middle[0](h)
        for skip, block in zip(self.skips, self.late, strict=True):
            h = block(skip(torch.cat([h, kept.pop()], 2)))
        h = self.out(self.norm(h[:, -(self.side**2) :]))
        h = h.transpose(1, 2).unflatten(2, (self.side, self.side))
        return nn.functional.pixel_shuffle(h, self.config.patch)


class UViTToImage(TextToImage):
    """TextToImage around a U-ViT."""

    def _network(self, x: Tensor, t: Tensor, states: Tensor) -> Tensor:
        dtype, index = self.unet.dtype, (t * TRAIN_STEPS - 1).expand(len(x))
        return self.unet(x.to(dtype), index, states.to(dtype)).to(x.dtype)


@dataclass(frozen=True)
class Contender:
    """A denoiser, how it is called, and the learning rates that it is tried at."""

    network: Callable[[], ModelMixin]
    around: type[TextToImage]
    rates: tuple[float, ...]

    def model(self) -> TextToImage:
        """The whole model, its denoiser untrained."""
        parts = TextToImage.untrained(PIPELINE)
        return self.around(self.network(), parts.vae, parts.text_encoder, parts.tokenizer)


CONTENDERS = {
    "unet": Contender(latent_unet, TextToImage, (1.5e-3,)),
    "pixart": Contender(pixart, PixArt, (1.5e-3, 7.5e-4)),
    "u-vit": Contender(UViT, UViTToImage, (1.5e-3, 7.5e-4)),
}


class Run:
    """One network in training at one learning rate, and the CPU time that its steps took."""

    def __init__(self, name: str, rate: float, data: Batches):
        self.name, self.rate, self.spent = name, rate, 0.0
        model = CONTENDERS[name].model
        self.experiment = replace(EXPERIMENT, model=model, data=lambda: data, rate=rate)
        self.trainer = Trainer(name, self.experiment)

    def advance(self, budget: float) -> None:
        """One step of a run that shall take `budget` seconds in all."""
        if self.spent:  # as many steps as the pace so far will reach
            steps = round(self.trainer.step * budget / self.spent)
            rise = max(1, round(steps * EXPERIMENT.rise / EXPERIMENT.steps))
            self.trainer.experiment = replace(self.experiment, steps=steps, rise=rise)
        began = time.process_time()
        record = self.trainer.advance()
        self.spent += time.process_time() - began
        if record.step % 20 == 0:
            loss = f"step {record.step}  loss {record.terms['simple']:.3f}  {self.spent:.0f} s"
            print(f"{self.name}  {self.rate}  {loss}", flush=True)

    def measured(self) -> tuple[dict, Tensor]:
        """The figures, and the loss in v on each held-out picture, (N,)."""
        x0, v = errors(self.trainer.averaged())
        loss, loss_error = mean(v.mean(0))
        row = {
            "network": self.name,
            "class": type(self.trainer.model.unet).__name__,
            "parameters": sum(p.numel() for p in self.trainer.params),
            "rate": self.rate,
            "images_per_second": self.trainer.step * EXPERIMENT.batch / self.spent,
            "steps": self.trainer.step,
            "loss": loss,
            "loss_error": loss_error,
            "x0": [mean(band)[0] for band in x0],
            "x0_error": [mean(band)[1] for band in x0],
        }
        print(json.dumps(row), flush=True)
        return row, v.mean(0)


@torch.no_grad()
def errors(model: TextToImage) -> tuple[Tensor, Tensor]:
    """Squared errors of x0 and of v on each held-out picture in each band, both (bands, N)."""
    count = int((emoji.load().split == emoji.HELD_OUT_PAIR).sum())
    draw = torch.Generator().manual_seed(0)
    batch = caption_batches(PIPELINE, split=emoji.HELD_OUT_PAIR)(0, count, draw)
    latents, states = batch[0], model.states(*batch[1:])
    found = torch.zeros(2, len(BANDS), count)
    for band, (low, high) in enumerate(BANDS):
        for _ in range(DRAWS):
            t = low + (high - low) * torch.rand(count, generator=draw)
            eps = torch.randn(latents.shape, generator=draw)
            alpha, sigma = model.schedule(t)
            x = mix(latents, eps, alpha, sigma)
            parts = zip(x.split(64), t.split(64), states.split(64), strict=True)
            output = torch.cat([model._network(*part) for part in parts])
            x0, _ = resolve(model.kind, output, x, alpha, sigma)
            v = target(model.kind, latents, eps, alpha, sigma)
            for k, error in enumerate((x0 - latents, output - v)):
                found[k, band] += (error**2).flatten(1).mean(1) / DRAWS
    return found[0], found[1]


def mean(values: Tensor) -> tuple[float, float]:
    """The mean of (N,) and its standard error."""
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def processor() -> str:
    """What multiplies."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.exists() else []
    kinds = {"avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX"}
    has = [f"{'with' if flag in flags else 'no'} {kind}" for flag, kind in kinds.items()]
    return f"{platform.machine()} {', '.join(has)}; threads: {torch.get_num_threads()}"


def compare(names: list[str], minutes: float) -> dict:
    """Trains and measures each; all figures, ready for JSON."""
    data = caption_batches(PIPELINE)
    runs = [Run(name, rate, data) for name in names for rate in CONTENDERS[name].rates]
    while (run := min(runs, key=lambda run: run.spent)).spent < 60 * minutes:
        run.advance(60 * minutes)
    found = [run.measured() for run in runs]
    best = min((losses for _, losses in found), key=torch.mean)
    for row, losses in found:
        # the same noise and pictures for all: differences are surer than the losses themselves
        row["above_best"], row["above_best_error"] = mean(losses - best)
    return {
        "networks": [row for row, _ in found],
        "bands": BANDS,
        "minutes": minutes,
        "count": len(best),
        "batch": EXPERIMENT.batch,
        "seed": EXPERIMENT.seed,
        "processor": processor(),
        "command": f"python tests/benchmarks/denoisers.py --minutes {minutes:g}",
    }


def main() -> None:
    """Trains, measures, prints, and writes JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=6.0, help="CPU time of each")
    parser.add_argument("--only", choices=CONTENDERS, help="one of them alone")
    parser.add_argument("--out", type=Path, help="a file for the figures")
    args = parser.parse_args()
    names = [args.only] if args.only else list(CONTENDERS)
    figures = compare(names, args.minutes)
    if args.out:
        args.out.write_text(json.dumps(figures, indent=1) + "\n")
    bands = "".join(f"{f'x0 {low:g}-{high:g}':>17}" for low, high in BANDS)
    head = f"{'network':<9}{'rate':>8}{'parameters':>12}{'images/s':>10}{'steps':>7}"
    print(f"\n{head}{'loss in v':>17}{bands}")
    for row in figures["networks"]:
        pairs = [(row["loss"], row["loss_error"]), *zip(row["x0"], row["x0_error"], strict=True)]
        cells = "".join(f"{f'{value:.3f} ± {error:.3f}':>17}" for value, error in pairs)
        print(
            f"{row['network']:<9}{row['rate']:>8.2g}{row['parameters']:>12,}"
            f"{row['images_per_second']:>10.1f}{row['steps']:>7}{cells}"
        )


if __name__ == "__main__":
    main()
