"""Likelihood by importance sampling, levels drawn anew, and what tells ablations apart."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from diffuser import evaluate_latent
from diffuser.evaluate_ablations import plane
from diffuser.hierarchical import HierarchicalVAE
from diffuser.likelihood import gaussian_kl_to_standard_normal


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Exact:
    """z ~ N(0, 1), x | z ~ N(z, 1), so log p(x) is known; q(z | x) = N(x / 2, width^2).

    The exact posterior has width^2 = 1/2. Pictures are (N, 1, 1, 1).
    """

    device = torch.device("cpu")

    def __init__(self, width: float):
        self.width = width

    def log_weights(self, x, count, generator=None):
        x = x.view(-1, 1)
        z = x / 2 + self.width * torch.randn(len(x), count, generator=generator)
        likelihood = Normal(z, 1.0).log_prob(x)
        return likelihood + Normal(0.0, 1.0).log_prob(z) - Normal(x / 2, self.width).log_prob(z)


def log_p(x):
    return Normal(0.0, math.sqrt(2)).log_prob(x.flatten())


def test_importance_sampling_of_an_exact_posterior_has_no_gap():
    x = torch.randn(20, 1, 1, 1, generator=generator())
    found = evaluate_latent.importance_terms(Exact(math.sqrt(0.5)), x, 7, rows=10)
    assert_close(found["nll"], -log_p(x))
    assert_close(found["single"], -log_p(x))


def test_importance_sampling_closes_the_gap():
    """With a posterior that is too wide the ELBO is below log p(x) by a known KL; 4,000 samples
    leave less than 0.01 nats of it."""
    x = torch.randn(50, 1, 1, 1, generator=generator())
    wide = Exact(1.0)
    found = evaluate_latent.importance_terms(wide, x, 4000, rows=1500)
    gap = kl_divergence(Normal(0.0, 1.0), Normal(0.0, math.sqrt(0.5)))
    assert_close(found["single"] + log_p(x), gap.expand(50), atol=0.15, rtol=0)
    assert (found["nll"] + log_p(x)).mean().abs() < 0.01


def test_the_gap_corrects_the_elbo():
    """nll is the mean ELBO of all less the mean gap of some, with both errors."""
    x = torch.randn(60, 1, 1, 1, generator=generator())
    model = Exact(1.0)
    elbo = evaluate_latent.importance_terms(model, x, 500, seed=5)["single"]
    figures, found = evaluate_latent.likelihood_figures(model, x, elbo, 500, seed=1)
    assert figures["gap_count"] == 60 and figures["samples"] == 500
    assert figures["nll"] == pytest.approx(-float(log_p(x).mean()), abs=0.05)
    gap = found["single"] - found["nll"]
    assert figures["gap"] == pytest.approx(float(gap.mean()), rel=1e-5)
    assert figures["nll_error"] ** 2 == pytest.approx(
        float(elbo.var() / 60 + gap.var() / 60), rel=1e-4
    )


def test_binarised_pixels_have_the_grey_mean():
    grey = torch.tensor([0, 64, 128, 255], dtype=torch.uint8).repeat(20000, 1)
    drawn = evaluate_latent.binarised(grey, 0)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert_close(drawn.mean(0), grey[0] / 255, atol=0.015, rtol=0)
    assert torch.equal(drawn, evaluate_latent.binarised(grey, 0))
    assert drawn[:, 0].max() == 0 and drawn[:, 3].min() == 1


@pytest.fixture
def hvae():
    torch.manual_seed(0)
    model = HierarchicalVAE((2, 3, 4), side=6, width=16)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("below", [False, True])
def test_resampling_a_level_keeps_those_above(hvae, level, below):
    x = torch.rand(5, 1, 6, 6, generator=generator()).round()
    kept = [latent.z for latent in hvae.walk(5, hvae.features(x))[0]]
    z, pictures = evaluate_latent.resampled(hvae, x, level, below, seed=3)
    for k in range(3):
        same = torch.equal(z[k], kept[k])
        assert same == (k != level and not (below and k > level))
    assert pictures.shape == x.shape
    assert not torch.equal(pictures, hvae.walk(5, given=kept)[1].sigmoid())


def test_kl_of_a_full_gaussian_equals_torch():
    root = torch.randn(4, 6, generator=generator(), dtype=torch.float64)
    covariance, mean = root @ root.T / 6, torch.randn(4, generator=generator(1)).double()
    exact = kl_divergence(
        MultivariateNormal(mean, covariance),
        MultivariateNormal(torch.zeros(4).double(), torch.eye(4).double()),
    )
    assert_close(gaussian_kl_to_standard_normal(mean, covariance), exact)
    flat = torch.diag(torch.tensor([1.0, 0.0]))
    assert gaussian_kl_to_standard_normal(torch.zeros(2), flat) == math.inf


def test_plane_holds_equal_probability():
    z = plane(10)
    u = torch.distributions.Normal(0.0, 1.0).cdf(z)
    assert z.shape == (100, 2)
    assert_close(u[:, 0].unique(), (torch.arange(10) + 0.5) / 10, atol=1e-6, rtol=0)
