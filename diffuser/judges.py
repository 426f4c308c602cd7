"""Judges: classifiers trained on real pictures alone, by which generated ones are measured."""

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from diffuser.networks import ConvFeatures


class Judge(ModelMixin, ConfigMixin):
    """Pictures (B, channels, H, W) in [-1, 1] to features (B, widths[-1]) and class logits."""

    @register_to_config
    def __init__(
        self,
        channels: int = 1,
        classes: int = 10,
        widths: tuple[int, ...] = (32, 64, 128),
        dropout: float = 0.3,
        smoothing: float = 0.1,
        stem: int = 0,
    ):
        super().__init__()
        self.features = ConvFeatures(channels, tuple(widths), dropout, stem)
        self.classify = nn.Linear(widths[-1], classes)
        self.smoothing = smoothing

    def logits(self, x: Tensor) -> Tensor:
        """Class logits, (B, classes)."""
        return self.classify(self.features(x.to(self.dtype)))

    def forward(self, x: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Cross-entropy with smoothed labels, nats, (B,)."""
        logits = self.logits(x).float()
        loss = F.cross_entropy(logits, label, reduction="none", label_smoothing=self.smoothing)
        return {"cross_entropy": loss}

    loss = forward

    @torch.no_grad()
    def judge(self, x: Tensor, batch: int = 500) -> tuple[Tensor, Tensor]:
        """Features (N, F) and logits (N, classes) of any number of pictures, on the CPU."""
        features, logits = [], []
        for part in x.split(batch):
            feature = self.features(part.to(self.device))
            features.append(feature.float().cpu())
            logits.append(self.classify(feature).float().cpu())
        return torch.cat(features), torch.cat(logits)
