"""What every evaluation needs: its result, the digits it is made on, and standard errors."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffuser.data import digits


@dataclass(frozen=True)
class Evaluation:
    """What was measured: figures for --json, per-example arrays for --save, a picture for a card.

    pictures: (N, C, H, W) in [0, 1]; None where the experiment's own sheet tells enough.
    """

    figures: dict[str, Any]
    terms: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: Tensor | None = None


def digit_pictures(split: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The first `count` digits of a split, bytes (N, 1, 28, 28), and their labels (N,)."""
    pictures, labels = digits(split)
    return torch.from_numpy(pictures[:count])[:, None], torch.from_numpy(labels[:count])


def standard_error(values: Tensor) -> float:
    """Of the mean of independent values (N,)."""
    return float(values.double().std() / len(values) ** 0.5)


def accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Share of rows (N, classes) whose largest logit is at its label, and its binomial error."""
    share = float((logits.argmax(1) == labels).double().mean())
    return share, (share * (1 - share) / len(labels)) ** 0.5
