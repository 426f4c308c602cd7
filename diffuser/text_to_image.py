"""Text to image: prompt -> tokens -> states -> latents -> picture, in stock parts."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from diffuser.diffusion import guided, plain_attention
from diffuser.gaussian import Kind, mix, resolve, target
from diffuser.latents import LatentAutoencoder
from diffuser.samplers import Step, named, seeded_noise, trailing
from diffuser.schedules import SCHEDULES
from diffuser.stock import TRAIN_STEPS, schedule_and_kind, stock_scheduler


def latent_unet() -> UNet2DConditionModel:
    """The stock class, 17.5 M parameters: 16 -> 8 -> 4, words attended to at 8 x 8 and 4 x 4.

    `addition_embed_type="text"` pools the token states into the time embedding, so that the
    sense of the whole caption reaches every layer.
    """
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 128, 192),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=384,
        attention_head_dim=4,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
    )


def mid_heavy_times(n: int, device: torch.device) -> Tensor:
    """n times in (0, 1]: nine tenths logit-normal (Esser et al. 2024), one tenth uniform.

    Stratified, so that every batch covers all of the noise levels; uniform times keep both ends
    learned, pure noise above all, where a sampler begins.
    """
    u = (torch.randperm(n, device=device) + torch.rand(n, device=device)) / n
    normal = torch.sigmoid(torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4)))
    uniform = 1 - torch.rand(n, device=device)
    return torch.where(torch.rand(n, device=device) < 0.1, uniform, normal)


class TextToImage(nn.Module):
    """Latent diffusion on 16 x 16 x 4 latents with a text encoder of its own.

    All parts are stock classes and are called exactly as `StableDiffusionPipeline` calls them:
    text padded to the tokenizer's full length, guidance only for w > 1.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: LatentAutoencoder,
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        schedule: str = "zero-snr",
        kind: Kind = "v",
    ):
        super().__init__()
        plain_attention(unet)
        self.unet, self.vae, self.text_encoder, self.tokenizer = unet, vae, text_encoder, tokenizer
        self.vae.requires_grad_(False)
        self.text_encoder.requires_grad_(False)
        self.schedule_name, self.kind, self.schedule = schedule, kind, SCHEDULES[schedule]
        side = unet.config.sample_size
        self.shape = (unet.config.in_channels, side, side)
        self._states_of = lru_cache(maxsize=256)(self._encode_one)

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def tokens(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask, (B, L) each, padded or cut to the full length L."""
        batch = self.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
        return batch.input_ids, batch.attention_mask

    def reading(self, prompt: str) -> tuple[list[str], str]:
        """What is read of a prompt: its tokens, and the tail that is cut off, often empty.

        The tokenizer is called with the settings of `tokens` alone: others would change it under
        a job that runs beside.
        """
        read = self.tokenizer(
            [prompt],
            padding="max_length",
            truncation=True,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        used = sum(read["attention_mask"][0])
        names = self.tokenizer.convert_ids_to_tokens(read["input_ids"][0][:used])
        end = max(stop for _, stop in read["offset_mapping"][0])
        return names, prompt[end:].strip() if len(read["input_ids"]) > 1 else ""

    @torch.no_grad()
    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, L, C); padding is masked inside the encoder, as its config says."""
        mask = mask if getattr(self.text_encoder.config, "use_attention_mask", False) else None
        return self.text_encoder(ids, attention_mask=mask)[0]

    def _encode_one(self, prompt: str) -> Tensor:
        ids, mask = self.tokens([prompt])
        return self.states(ids.to(self.device), mask.to(self.device))

    def encode(self, prompts: list[str]) -> Tensor:
        """Token states of prompts, (B, L, C), kept for the next time."""
        return torch.cat([self._states_of(prompt) for prompt in prompts])

    def _network(self, x: Tensor, t: Tensor, states: Tensor) -> Tensor:
        index = (t * TRAIN_STEPS - 1).expand(len(x))
        x_in = x.to(self.unet.dtype).contiguous(memory_format=torch.channels_last)
        states = states.to(self.unet.dtype)
        return self.unet(x_in, index, encoder_hidden_states=states).sample.to(x.dtype)

    def forward(self, latents: Tensor, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The simple loss in v of each example: squared error, mean over the latent; (B,)."""
        t = mid_heavy_times(len(latents), latents.device)
        eps = torch.randn_like(latents)
        alpha, sigma = self.schedule(t)
        output = self._network(mix(latents, eps, alpha, sigma), t, self.states(ids, mask))
        error = (output - target(self.kind, latents, eps, alpha, sigma)) ** 2
        return {"simple": error.flatten(1).mean(1)}

    loss = forward

    def denoise(
        self, x: Tensor, t: Tensor, states: Tensor, negative: Tensor, guidance: float
    ) -> tuple[Tensor, Tensor]:
        """The estimates (x0, eps) of latents x (B, 4, 16, 16) at time t, (); see `guided`."""
        if guidance == 1:
            output = self._network(x, t, states)
        elif guidance == 0:
            output = self._network(x, t, negative)
        else:
            both = self._network(torch.cat([x, x]), t, torch.cat([states, negative]))
            output = guided(*both.chunk(2), guidance)
        return resolve(self.kind, output, x, *self.schedule(t))

    @torch.no_grad()
    def sample(
        self,
        prompts: str | list[str],
        negative: str | None = None,
        guidance: float = 4.0,
        sampler: str = "dpmpp-2m",
        steps: int = 20,
        eta: float = 0.0,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Iterator[Step]:
        """Yields steps + 1 Steps of latents (B, 4, 16, 16), one picture for each prompt.

        Picture i draws its noise from seed + i alone; noise, when given, is the start. `decode`
        makes pictures of Step.x0 (a preview) and of the last Step.x (the result).
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        draw = seeded_noise((len(prompts), *self.shape), seed)
        states, negatives = self.encode(prompts), self.encode([negative or ""] * len(prompts))
        yield from named(sampler, eta)(
            lambda x, t: self.denoise(x, t, states, negatives, guidance),
            self.schedule,
            (draw() if noise is None else noise).to(self.device),
            trailing(steps),
            lambda: draw().to(self.device),
        )

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (B, 3, 64, 64) in [0, 1]."""
        return (self.vae.decode(latents).float() / 2 + 0.5).clamp(0, 1)

    def generate(
        self,
        prompt: str,
        negative: str | None = None,
        guidance: float = 4.0,
        sampler: str = "dpmpp-2m",
        steps: int = 20,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Image.Image:
        """The picture of one prompt."""
        *_, last = self.sample(prompt, negative, guidance, sampler, steps, seed=seed, noise=noise)
        pixels = (self.decode(last.x)[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        return Image.fromarray(pixels)

    def pipeline(self) -> DiffusionPipeline:
        """The same parts as a stock `StableDiffusionPipeline`."""
        from diffusers import StableDiffusionPipeline  # slow to import, and seldom wanted

        return StableDiffusionPipeline(
            vae=self.vae.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=stock_scheduler(self.schedule_name, self.kind),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def save_pretrained(self, folder: Path) -> None:
        """Writes a folder that stock `DiffusionPipeline.from_pretrained` opens."""
        self.pipeline().save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "TextToImage":
        """Opens such a folder, in fp32, with no network."""
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        scheduler = DDIMScheduler.load_config(folder / "scheduler")
        return cls(unet, *_vae_and_text(folder), *schedule_and_kind(scheduler))

    @classmethod
    def untrained(cls, folder: Path) -> "TextToImage":
        """A new denoiser beside the autoencoder and the text encoder of such a folder."""
        return cls(latent_unet(), *_vae_and_text(folder))


def _vae_and_text(folder: Path) -> tuple:
    encoder = AutoModel.from_pretrained(
        folder / "text_encoder", local_files_only=True, dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    return LatentAutoencoder.from_pretrained(folder), encoder, tokenizer
