"""Likelihood terms against torch.distributions, and importance bounds where log p(x) is known."""

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from diffuser.likelihood import importance_bound, kl_between_normals, normal_log_density


def normals(count: int) -> list[tuple[Tensor, Tensor]]:
    """Some means and log-variances, (50, 4) each."""
    draws = torch.randn(count, 2, 50, 4, generator=torch.Generator().manual_seed(0)).double()
    return [(mean, 2 * log_var) for mean, log_var in draws]


def distribution(mean: Tensor, log_var: Tensor) -> Normal:
    return Normal(mean, (log_var / 2).exp())


def test_kl_between_normals_equals_torch():
    q, p = normals(2)
    assert_close(kl_between_normals(*q, *p), kl_divergence(distribution(*q), distribution(*p)))
    assert kl_between_normals(*q, *q).abs().max() == 0


def test_log_density_equals_torch():
    (mean, log_var), (z, _) = normals(2)
    exact = distribution(mean, log_var).log_prob(z)
    assert_close(normal_log_density(z, mean, log_var), exact)


class Linear:
    """p(z) = N(0, I), p(x | z) = N(W z, s^2 I): the one model whose log p(x) is written down."""

    def __init__(self, s: float = 0.4):
        generator = torch.Generator().manual_seed(1)
        self.w = torch.randn(5, 2, generator=generator).double()
        self.s = s
        self.x = torch.randn(5, generator=generator).double()
        cov = self.w @ self.w.T + s**2 * torch.eye(5).double()
        self.log_p = MultivariateNormal(torch.zeros(5).double(), cov).log_prob(self.x)
        self.covariance = torch.linalg.inv(torch.eye(2).double() + self.w.T @ self.w / s**2)
        self.mean = self.covariance @ self.w.T @ self.x / s**2

    def log_joint(self, z: Tensor) -> Tensor:
        """log p(x, z) of z (..., 2), by the function under test."""
        zero = torch.zeros_like(z)
        log_var = torch.full_like(self.x, 2 * math.log(self.s))
        pixels = normal_log_density(self.x, z @ self.w.T, log_var).sum(-1)
        return normal_log_density(z, zero, zero).sum(-1) + pixels


def test_with_the_exact_posterior_every_weight_is_log_p():
    model = Linear()
    q = MultivariateNormal(model.mean, model.covariance)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        z = q.sample((1000,))
    weights = model.log_joint(z) - q.log_prob(z)
    assert_close(weights, model.log_p.expand(1000))
    for k in (1, 10, 1000):
        assert_close(importance_bound(weights[:k]), model.log_p)


def test_with_another_q_the_bound_lies_below_and_comes_closer():
    model, draws = Linear(), 2**17
    log_var = model.covariance.diagonal().log() + 0.5  # wider, and blind to the correlation
    mean = model.mean + 0.3
    eps = torch.randn(draws, 2, generator=torch.Generator().manual_seed(3)).double()
    z = mean + (log_var / 2).exp() * eps
    weights = model.log_joint(z) - normal_log_density(z, mean, log_var).sum(-1)
    gaps = []
    for k in (1, 4, 16, 64, 256):
        bounds = importance_bound(weights.view(-1, k))
        error = bounds.std() / math.sqrt(len(bounds))
        assert bounds.mean() < model.log_p + 4 * error
        gaps.append((model.log_p - bounds.mean()).item())
    assert gaps[0] > 0.3, "this q is far from the posterior, or the test shows nothing"
    assert all(later < earlier for earlier, later in zip(gaps, gaps[1:], strict=False))
    assert abs(gaps[-1]) < 0.05 * gaps[0]


def test_one_draw_is_the_elbo_and_equal_weights_are_kept():
    weights = torch.randn(6, 1)
    assert_close(importance_bound(weights), weights[:, 0])
    assert_close(importance_bound(weights.expand(6, 9)), weights[:, 0])
    far = torch.tensor([[-1e4, -1e4 + math.log(3)]]).double()  # exp of these is zero
    assert_close(importance_bound(far), torch.tensor([-1e4 + math.log(2)]).double())
