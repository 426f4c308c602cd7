"""Distances between sets of pictures, from their features (N, F) in a judge's eyes."""

import torch
from torch import Tensor


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and covariance (F, F) of rows (N, F), in float64."""
    features = features.double()
    return features.mean(0), features.T.cov()


def frechet_distance(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    """|mu_a - mu_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) of two Gaussians (mean, covariance).

    Heusel et al. 2017, eq. 6, with the matrix roots by eigendecomposition, in float64.
    """
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    values, vectors = torch.linalg.eigh(cov_a.double())
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b.double() @ root).clamp(min=0).sqrt().sum()
    shift = (mean_a.double() - mean_b.double()).square().sum()
    return float(shift + cov_a.trace() + cov_b.trace() - 2 * cross)


def group_error(features: Tensor, reference: tuple[Tensor, Tensor], groups: int = 10) -> float:
    """Standard error of the Frechet distance of features (N, F): a jackknife over groups of rows.

    Row i is in group i % groups, so that sorted labels stay balanced.
    """
    group = torch.arange(len(features)) % groups
    left_out = [frechet_distance(moments(features[group != g]), reference) for g in range(groups)]
    spread = torch.tensor(left_out, dtype=torch.float64).var(correction=0)
    return float(((groups - 1) * spread).sqrt())


def diversity(features: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor) -> float:
    """Mean distance between two pictures of a class over that of real ones, mean over classes."""
    ratios = [
        torch.pdist(features[labels == k]).mean() / torch.pdist(real[real_labels == k]).mean()
        for k in real_labels.unique()
        if (labels == k).sum() > 1
    ]
    return float(torch.stack(ratios).mean())
