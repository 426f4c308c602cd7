"""Sheets: the same pictures each time, to judge a run by looking."""

import torch
from torch import Tensor

from diffuser.ablations import Family
from diffuser.autoencoders import AutoEncoder
from diffuser.batches import emoji_pictures, on_ground
from diffuser.diffusion import Diffusion
from diffuser.hierarchical import HierarchicalVAE
from diffuser.latents import LatentAutoencoder
from diffuser.text_to_image import TextToImage

PROMPTS = tuple(
    line.strip()
    for line in """
    red apple, flat style
    cat face, noto style
    dog face, 3d style
    house, twemoji style
    sunflower, emojione style
    octopus, noto style
    pizza, flat style
    red heart, 3d style
    automobile, noto style
    bus, flat style
    rocket, 3d style
    guitar, noto style
    turtle, twemoji style
    fish, blob style
    bird, outline style
    soccer ball, noto style
    birthday cake, 3d style
    umbrella, flat style
    rainbow, noto style
    snowman, twemoji style
    crown, 3d style
    mushroom, noto style
    banana, flat style
    airplane, 3d style
    grinning face, blob style
    crying face, noto style
    face with sunglasses, 3d style
    robot, flat style
    ghost, noto style
    pumpkin, twemoji style
    key, flat style
    hot beverage, 3d style
    a bunny, flat style
    a motorcar, 3d style
    kitty, noto style
    a sad face, 3d style
    a tree, flat style
    a ship, noto style
    a green turtle, flat style
    a blue heart, 3d style
    a purple car, flat style
    a green apple, noto style
    a black cat, twemoji style
    a cat with sunglasses, noto style
    red apple on a blue background, flat style
    a pink house, 3d style
    a yellow fish, noto style
    3d style
    """.strip().splitlines()
)
"""48 prompts: 32 plain ones, paraphrases, colours and compositions that were never drawn."""


def reconstruction_sheet(model: LatentAutoencoder) -> Tensor:
    """32 held-out emoji, each row of 16 above its reconstruction."""
    rgba = emoji_pictures((1, 2))[::7][:32].permute(0, 3, 1, 2).float() / 255
    x = on_ground(rgba)
    y = model.decode(model.encode(2 * x - 1)).float() / 2 + 0.5
    return torch.cat([x[:16], y[:16], x[16:], y[16:]]).clamp(0, 1)


def prior_sheet(model: AutoEncoder) -> Tensor:
    """64 pictures from the prior."""
    return next(model.sample(64)).x0


def family_sheet(model: Family) -> Tensor:
    """16 pictures from the prior of each member, one row a member."""
    return next(model.sample(16)).x0


def level_sheet(model: HierarchicalVAE) -> Tensor:
    """16 pictures from the prior, one row for each level: what is known down to it."""
    return torch.cat([step.x0 for step in model.sample(16)])


def class_sheet(model: Diffusion) -> Tensor:
    """Eight pictures of each digit, guidance 2, 20 steps."""
    *_, last = model.sample(
        80, [i // 8 for i in range(80)], guidance=2.0, sampler="dpmpp-2m", steps=20
    )
    return ((last.x + 1) / 2).clamp(0, 1)


def prompt_sheet(model: TextToImage) -> Tensor:
    """The 48 prompts, guidance 4, 20 steps, picture i from seed i."""
    *_, last = model.sample(list(PROMPTS), guidance=4.0, sampler="dpmpp-2m", steps=20)
    return model.decode(last.x)
