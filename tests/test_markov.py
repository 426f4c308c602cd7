"""Luo's road: the chain's bound, the diffusion bound, and what each restriction fixes."""

import pytest
import torch
from torch.testing import assert_close

from diffuser.gaussian import mix
from diffuser.markov import MarkovHVAE, Road
from diffuser.schedules import cosine


def small(restrictions, **options):
    """A random network that is not at its quiet start."""
    torch.manual_seed(0)
    settings = {"steps": 4, "latent": 3, "side": 4, "width": 16, "blocks": 1} | options
    model = MarkovHVAE(restrictions, **settings)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model.eval().requires_grad_(False)


def pictures(n=1):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, 1, 4, 4, generator=generator).round().expand(n, -1, -1, -1)


def whole(terms):
    return sum(terms.values()).double()


@pytest.mark.parametrize("restrictions", [2, 3])
def test_the_restricted_bound_is_the_diffusion_bound(restrictions):
    """Two forms of one expectation (Luo eq. 32 and 58) on one network: equal within 4 errors
    of their means, 0.25 nats of several hundred."""
    model, x = small(restrictions), pictures(100_000)
    torch.manual_seed(2)
    chain, diffusion = whole(model.chain(x)), whole(model.diffusion(x))
    error = (chain.var() / len(x) + diffusion.var() / len(x)).sqrt()
    assert error < 0.06
    assert abs(chain.mean() - diffusion.mean()) < 4 * error
    assert diffusion.std() < chain.std()


def test_the_fixed_encoder_walks_the_schedule():
    """Composed one by one its steps are q(z_t | x) = N(alpha x, sigma^2)."""
    model = small(3, steps=5)
    mean, variance = torch.ones(1, 16), torch.zeros(1, 16)
    for t in range(1, 6):
        mean, log_var = model.q(mean, t)
        a = model.q(torch.ones(1, 16), t)[0]
        variance = a**2 * variance + log_var.exp()
        alpha, sigma = cosine(torch.tensor(t / 5))
        assert_close(mean, alpha.expand(1, 16))
        assert_close(variance, (sigma**2).expand(1, 16))


def test_what_each_restriction_fixes():
    free, sized, fixed, noise = (small(k) for k in range(4))
    assert free.dims == 3 and {sized.dims, fixed.dims, noise.dims} == {16}
    assert not free.fixed and not sized.fixed and fixed.fixed and noise.fixed
    x = pictures(8)
    # pure noise at the end costs nothing; a picture left in it costs nats that no network can save
    assert noise.diffusion(x)["kl_4"].max() < 1e-2
    assert fixed.diffusion(x)["kl_4"].min() > 1.0


@pytest.mark.parametrize("restrictions", range(4))
def test_terms_and_samples(restrictions):
    model, x = small(restrictions), pictures(5)
    terms = model.loss(x)
    assert list(terms) == ["reconstruction", "kl_1", "kl_2", "kl_3", "kl_4"]
    assert all(term.shape == (5,) and term.isfinite().all() for term in terms.values())
    steps = list(model.sample(3, seed=1))
    assert [round(s.t.item(), 2) for s in steps] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert steps[0].x.shape == (3, model.dims) and steps[-1].x0.shape == (3, 1, 4, 4)
    alone = list(model.sample(1, seed=2))
    assert_close(steps[-1].x0[1:2], alone[-1].x0)


def test_a_perfect_guess_makes_the_diffusion_terms_vanish(monkeypatch):
    """KL(q(z_t | z_t+1, x) || p) is 0 where the network knows the picture."""
    model, x = small(3), pictures(6)
    monkeypatch.setattr(model, "x_logits", lambda z, t=1: 40 * (2 * x - 1))
    terms = model.diffusion(x)
    assert all(terms[f"kl_{t}"].abs().max() < 1e-5 for t in (1, 2, 3))
    assert terms["reconstruction"].max() < 1e-5


def test_posterior_by_drawing():
    """The mean of z_t-1 given z_t and x0 is that of a regression on many drawn pairs."""
    model = small(3)
    generator = torch.Generator().manual_seed(0)
    x0 = torch.full((200_000, 1), 0.5)
    (alpha_s, sigma_s), (alpha_t, _) = (
        (part.float() for part in cosine(model.time(t))) for t in (2, 3)
    )
    a = alpha_t / alpha_s
    before = mix(x0, torch.randn(x0.shape, generator=generator), alpha_s, sigma_s)
    after = a * before + (1 - a**2).sqrt() * torch.randn(x0.shape, generator=generator)
    slope = torch.cat([before, after], 1).T.cov()
    mean, log_var = model.posterior(x0[:2], torch.tensor([[0.0], [1.0]]), 3)
    assert_close(mean[1, 0] - mean[0, 0], slope[0, 1] / slope[1, 1], atol=0.01, rtol=0)
    left = slope[0, 0] - slope[0, 1] ** 2 / slope[1, 1]
    assert_close(log_var[0, 0].exp(), left, atol=0.01, rtol=0)


def test_saves_and_opens(tmp_path):
    road = Road([small(k) for k in range(4)])
    road.save_pretrained(tmp_path)
    opened = Road.from_pretrained(tmp_path)
    for k in range(4):
        torch.manual_seed(0)
        first = road[k].loss(pictures(2))
        torch.manual_seed(0)
        second = opened[k].loss(pictures(2))
        assert all(torch.equal(first[key], second[key]) for key in first)
