"""Our sampler against the stock pipeline, and the laws that hold for any weights."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

import diffuser
from diffuser import batches
from diffuser.data import emoji
from diffuser.experiments import PIPELINE
from diffuser.latents import LatentAutoencoder
from diffuser.samplers import SAMPLERS, seeded_noise
from diffuser.text_to_image import TextToImage
from diffuser.weights import WEIGHTS

SHIPPED = WEIGHTS / "text-to-image"
STEPS = 5


def noise_of(seed: int = 3, n: int = 1) -> Tensor:
    return seeded_noise((n, 4, 16, 16), seed)()


def last(t2i: TextToImage, prompts: str | list[str], **options: object) -> Tensor:
    *_, step = t2i.sample(prompts, **({"sampler": "ddim", "steps": STEPS} | options))
    return step.x


def stock(pipe: DiffusionPipeline, prompt: str, noise: Tensor, **options: object) -> Tensor:
    pipe.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": STEPS, "guidance_scale": 3.0, "output_type": "pt"}
    return pipe(prompt, latents=noise.clone(), **(settings | options)).images


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


@pytest.mark.parametrize("negative", [None, "white background"])
def test_stock_pipeline_draws_the_same(tiny_t2i: TextToImage, negative: str | None) -> None:
    prompt, noise, pipe = "a green turtle, flat style", noise_of(), tiny_t2i.pipeline()
    ours = last(tiny_t2i, prompt, negative=negative, guidance=3.0, noise=noise)
    theirs = stock(pipe, prompt, noise, negative_prompt=negative, output_type="latent")
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    pictures = stock(pipe, prompt, noise, negative_prompt=negative)
    assert pictures.std() > 0.01, "a flat picture would prove nothing"
    assert psnr(tiny_t2i.decode(ours), pictures) > 40


def test_saved_and_opened_offline_it_is_the_same(tiny_t2i: TextToImage, tmp_path: Path) -> None:
    prompt, noise = "red dog", noise_of()
    tiny_t2i.save_pretrained(tmp_path)
    ours = last(tiny_t2i, prompt, guidance=3.0, noise=noise)
    again = TextToImage.from_pretrained(tmp_path).eval()
    assert (again.schedule_name, again.kind) == ("zero-snr", "v")
    assert torch.equal(last(again, prompt, guidance=3.0, noise=noise), ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = DiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    assert psnr(tiny_t2i.decode(ours), stock(pipe, prompt, noise)) > 40


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_picture_does_not_depend_on_its_batch(tiny_t2i: TextToImage, sampler: str) -> None:
    options = {"sampler": sampler, "steps": 3, "guidance": 2.0}
    batch = last(tiny_t2i, ["red cat"] * 3, seed=10, **options)
    alone = last(tiny_t2i, "red cat", seed=12, **options)
    torch.testing.assert_close(batch[2:], alone, rtol=1e-4, atol=1e-4)


def test_every_step_is_the_mixture_of_its_estimates(tiny_t2i: TextToImage) -> None:
    for step in tiny_t2i.sample("red cat", steps=4):
        alpha, sigma = tiny_t2i.schedule(step.t)
        torch.testing.assert_close(step.x, alpha * step.x0 + sigma * step.eps, rtol=0, atol=2e-5)
    assert torch.equal(step.x, step.x0)


def test_guidance_is_linear_between_its_two_branches(tiny_t2i: TextToImage) -> None:
    x, t = noise_of(), torch.tensor(0.6)
    states, none = tiny_t2i.encode(["red cat"]), tiny_t2i.encode([""])
    u, c, g = (tiny_t2i.denoise(x, t, states, none, w)[0] for w in (0.0, 1.0, 3.0))
    assert not torch.allclose(u, c, atol=1e-3), "the words must matter"
    torch.testing.assert_close(g, u + 3 * (c - u), rtol=1e-3, atol=1e-4)


def test_empty_and_negative_prompts(tiny_t2i: TextToImage) -> None:
    options = {"noise": noise_of(), "steps": 2}
    empty = last(tiny_t2i, "", guidance=4.0, **options)
    torch.testing.assert_close(empty, last(tiny_t2i, "red", guidance=0.0, **options), **CLOSE)
    away = last(tiny_t2i, "red", negative="dog", guidance=4.0, **options)
    assert not torch.allclose(away, last(tiny_t2i, "red", guidance=4.0, **options), atol=1e-3)


CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def test_long_text_is_cut_and_the_tail_is_told(tiny_t2i: TextToImage) -> None:
    text = "a red cat, " * 4 + "then a Green dog!"
    tokens, tail = tiny_t2i.reading(text)
    assert len(tokens) == 16 and tokens[0] == "[CLS]" and tokens[-1] == "[SEP]"
    kept = text[: text.rindex(tail)].strip()
    assert tiny_t2i.reading(kept) == (tokens, "") and kept + " " + tail in (text, kept + tail)
    assert torch.equal(tiny_t2i.tokens([kept])[0], tiny_t2i.tokens([text])[0])
    assert tiny_t2i.reading("red cat") == (["[CLS]", "red", "cat", "[SEP]"], "")
    assert tiny_t2i.reading("")[0] == ["[CLS]", "[SEP]"]


def test_generate_gives_a_picture(tiny_t2i: TextToImage) -> None:
    made = tiny_t2i.generate("red cat", steps=2, seed=5)
    assert made.size == (64, 64) and made.mode == "RGB"
    assert made.tobytes() == tiny_t2i.generate("red cat", steps=2, seed=5).tobytes()


def test_normalised_latents_decode_to_the_same_pictures() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        vae = LatentAutoencoder().eval().requires_grad_(False)
        x = torch.rand(8, 3, 64, 64) * 2 - 1
    z = vae.encode(x)
    before = vae.decode(z)
    vae.normalise(z.mean((0, 2, 3)), z.std((0, 2, 3)))
    after = vae.encode(x)
    torch.testing.assert_close(after.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(after.std((0, 2, 3)), torch.ones(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(vae.decode(after), before, rtol=0, atol=1e-4)


@pytest.mark.skipif(not (PIPELINE / "tokenizer").exists(), reason="no trained text encoder")
def test_caption_batches_keep_to_their_split(monkeypatch) -> None:
    """Latents that are the number of their picture tell which pictures a batch was drawn from."""
    split = np.array([0, 1, 0, 2, 1, 0, 0, 1])
    concepts = [emoji.Concept(f"thing {i}", (), "objects", f"{i:x}") for i in range(8)]
    made = emoji.Emoji(
        np.zeros((8, 64, 64, 4), np.uint8),
        np.arange(8),
        np.zeros(8, int),
        np.full(8, ""),
        split,
        concepts,
        ["noto"],
        np.arange(8),
    )
    latents = torch.arange(8.0).view(8, 1, 1, 1, 1).expand(8, 4, 4, 16, 16)
    monkeypatch.setattr(emoji, "load", lambda: made)
    monkeypatch.setattr(
        batches, "emoji_latents", lambda *_: (latents, torch.zeros(8, 4, dtype=torch.long))
    )
    for options, wanted in (({}, 0), ({"split": emoji.HELD_OUT_PAIR}, 1)):
        numbers = np.flatnonzero(split == wanted).tolist()
        batch = batches.caption_batches(PIPELINE, **options)
        x, ids, mask = batch(0, len(numbers), torch.Generator().manual_seed(0))
        assert sorted(x[:, 0, 0, 0].tolist()) == numbers
        assert ids.shape == mask.shape and len(ids) == len(numbers)


@pytest.mark.skipif(not SHIPPED.exists(), reason="no trained weights")
def test_the_shipped_folder_opens_in_stock_diffusers() -> None:
    files = [f for f in SHIPPED.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 70e6
    t2i, prompt, noise = diffuser.load("text-to-image"), "a green turtle, flat style", noise_of()
    ours = t2i.decode(last(t2i, prompt, guidance=3.0, noise=noise, steps=20).to(t2i.device))
    pipe = DiffusionPipeline.from_pretrained(
        SHIPPED, local_files_only=True, torch_dtype=torch.float32
    ).to(t2i.device)
    theirs = stock(pipe, prompt, noise, num_inference_steps=20)
    assert psnr(ours.cpu(), theirs.cpu()) > 40
