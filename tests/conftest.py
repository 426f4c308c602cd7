"""What several test files share: a text-to-image model with random weights."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import BertConfig, BertModel, BertTokenizer

from diffuser.latents import LatentAutoencoder, latent_vae
from diffuser.text_to_image import TextToImage, latent_unet

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIGNS = ", . ! < > = ( ) / \" '".split()
WORDS = "red green turtle cat dog style flat on white background".split()


@pytest.fixture(scope="session")
def tiny_t2i() -> TextToImage:
    """The shipped model's parts with random weights, few channels and 16 tokens."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *SIGNS, *LETTERS, *WORDS]
    tokens += [f"##{letter}" for letter in LETTERS]
    tokenizer = BertTokenizer(vocab={t: i for i, t in enumerate(tokens)}, model_max_length=16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tokens),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=32,
            max_position_embeddings=16,
        )
        encoder = BertModel(config, add_pooling_layer=False)
        narrow = {"block_out_channels": (8, 16, 16), "norm_num_groups": 4}
        unet = UNet2DConditionModel.from_config(
            dict(latent_unet().config), cross_attention_dim=32, **narrow
        )
        vae = AutoencoderKL.from_config(dict(latent_vae().config), **narrow)
        made = TextToImage(unet, LatentAutoencoder(vae), encoder, tokenizer)
    return made.eval().requires_grad_(False)
