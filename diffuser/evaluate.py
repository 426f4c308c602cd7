"""Measuring: each figure of a model card is computed here, from a seed, in bounded memory.

A figure stands with its standard error in `figures["errors"]` where it is an estimate.
"""

from collections.abc import Callable

from diffuser.device import default_device, fast_dtype
from diffuser.evaluate_ablations import evaluate_ablations
from diffuser.evaluate_digits import evaluate_diffusion, evaluate_judge
from diffuser.evaluate_latent import (
    evaluate_autoencoder,
    evaluate_binary_autoencoder,
    evaluate_hierarchical,
)
from diffuser.evaluate_text import (
    evaluate_text_to_image,
    judge_scores,
    paraphrase_retrieval,
    reconstruction_scores,
)
from diffuser.measures import Evaluation
from diffuser.weights import load


def evaluate_prompts(name: str, count: int | None, seed: int) -> Evaluation:
    """Whether pictures show what their prompts say; see `evaluate_text_to_image`."""
    model = load(name, dtype=fast_dtype(default_device()))
    return Evaluation(evaluate_text_to_image(model, load("judge-emoji"), seed=seed, count=count))


def evaluate_text_encoder(name: str, count: int | None, seed: int) -> Evaluation:
    """Retrieval of paraphrases, which are fixed: the seed changes nothing."""
    return Evaluation({**paraphrase_retrieval(load(name), count or 1000), "seed": seed})


def evaluate_latent_autoencoder(name: str, count: int | None, seed: int) -> Evaluation:
    """PSNR on unseen emoji, which are fixed: the seed changes nothing."""
    figures, psnr = reconstruction_scores(load(name), count)
    return Evaluation({**figures, "seed": seed}, {"psnr": psnr})


def evaluate_emoji_judge(name: str, count: int | None, seed: int) -> Evaluation:
    """Retrieval of real, unseen pictures, which are fixed; the card shows those it gets wrong."""
    figures, wrong = judge_scores(load(name), count)
    return Evaluation({**figures, "seed": seed}, pictures=wrong)


EVALUATIONS: dict[str, Callable[[str, int | None, int], Evaluation]] = {
    "ae-2d": evaluate_autoencoder,
    "vae-2d": evaluate_autoencoder,
    "vae-20d": evaluate_autoencoder,
    "vae-50d": evaluate_binary_autoencoder,
    "iwae-50d": evaluate_binary_autoencoder,
    "ablations": evaluate_ablations,
    "hvae": evaluate_hierarchical,
    "ddpm-digits": evaluate_diffusion,
    "judge-digits": evaluate_judge,
    "text-to-image": evaluate_prompts,
    "text-to-image-text": evaluate_text_encoder,
    "text-to-image-vae": evaluate_latent_autoencoder,
    "judge-emoji": evaluate_emoji_judge,
}
"""(name, count or None for the full protocol, seed) -> what was measured."""


def evaluate(name: str, count: int | None = None, seed: int = 0) -> Evaluation:
    """Measures a shipped model on test data; count: fewer examples than the full protocol's.

    Raises ValueError where nothing is known to measure.
    """
    if name not in EVALUATIONS:
        raise ValueError(f"{name!r} has no evaluation; there is {', '.join(EVALUATIONS)}")
    found = EVALUATIONS[name](name, count, seed)
    options = {"count": count, "seed": seed or None}
    words = [f" --{key} {value}" for key, value in options.items() if value is not None]
    found.figures["command"] = f"python -m diffuser evaluate {name}{''.join(words)}"
    return found
