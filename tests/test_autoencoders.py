"""Autoencoders: the terms of the ELBO against torch.distributions, shapes, saving."""

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence
from torch.testing import assert_close

from diffuser.autoencoders import AutoEncoder
from diffuser.likelihood import bernoulli_nll, kl_to_standard_normal


def small(**options) -> AutoEncoder:
    """A random network that is not at its quiet start, where residual branches are zero."""
    torch.manual_seed(0)
    model = AutoEncoder(**{"latent_dim": 3, "side": 6, "width": 16, **options})
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return model.eval()


def pictures(n=7, side=6):
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(1))


def test_kl_equals_torch():
    mean, log_var = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0)).double()
    q = Normal(mean, (log_var / 2).exp())
    exact = kl_divergence(q, Normal(torch.zeros_like(mean), torch.ones_like(mean)))
    assert_close(kl_to_standard_normal(mean, log_var), exact)
    assert kl_to_standard_normal(torch.zeros(3), torch.zeros(3)).abs().max() == 0


def test_bernoulli_equals_torch():
    logits = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    x = (torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(1)) > 0.5).double()
    assert_close(bernoulli_nll(logits, x), -Independent(Bernoulli(logits=logits), 3).log_prob(x))


def test_bernoulli_of_grey_is_least_at_grey():
    x = torch.full((1, 1, 2, 2), 0.3)
    here = bernoulli_nll(torch.logit(x), x)
    assert here < bernoulli_nll(torch.logit(x) + 0.1, x)
    assert here < bernoulli_nll(torch.logit(x) - 0.1, x)


def test_shapes_and_ranges():
    model, x = small(), pictures()
    mean, log_var = model.encode(x)
    assert mean.shape == log_var.shape == (7, 3)
    y = model.decode(mean)
    assert y.shape == x.shape and y.min() >= 0 and y.max() <= 1
    assert_close(y, model.decode_logits(mean).sigmoid())
    assert {key: value.shape for key, value in model.loss(x).items()} == {
        "reconstruction": (7,),
        "kl": (7,),
    }


def test_plain_autoencoder_has_no_kl_and_no_noise():
    model, x = small(variational=False), pictures()
    code, log_var = model.encode(x)
    assert code.shape == (7, 3) and log_var is None
    terms = model.loss(x)
    assert set(terms) == {"reconstruction"}
    assert torch.equal(terms["reconstruction"], model.loss(x)["reconstruction"])
    assert_close(terms["reconstruction"], bernoulli_nll(model.decode_logits(code), x))


def test_terms_of_the_elbo():
    """Luo eq. 19, spelled out with torch.distributions, for a given eps."""
    model, x = small(), pictures()
    eps = torch.randn(7, 3, generator=torch.Generator().manual_seed(2))
    mean, log_var = model.encode(x)
    q = Independent(Normal(mean, (log_var / 2).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    y = model.decode(mean + (log_var / 2).exp() * eps)
    cross_entropy = -(x * y.log() + (1 - x) * (1 - y).log()).sum((1, 2, 3))
    terms = model.elbo(x, eps)
    assert_close(terms["kl"], kl_divergence(q, prior))
    assert_close(terms["reconstruction"], cross_entropy)


def test_loss_draws_afresh():
    model, x = small(), pictures()
    first, second = model.loss(x), model.loss(x)
    assert torch.equal(first["kl"], second["kl"])
    assert not torch.equal(first["reconstruction"], second["reconstruction"])


def test_elbo_bounds_the_likelihood():
    """-log p(x) by quadrature over a one-dimensional latent is below the negative ELBO."""
    model = small(latent_dim=1)
    x = (pictures(4) > 0.5).float()
    z = torch.linspace(-8, 8, 4001)[:, None]
    log_likelihood = torch.stack(
        [-bernoulli_nll(model.decode_logits(z), p.expand(4001, -1, -1, -1)) for p in x]
    )
    log_joint = log_likelihood + Normal(0.0, 1.0).log_prob(z[:, 0])
    nll = -(log_joint.logsumexp(1) + torch.tensor(16 / 4000).log())
    eps = torch.randn(500, 4, 1, generator=torch.Generator().manual_seed(3))
    elbo = torch.stack([sum(model.elbo(x, e).values()) for e in eps]).mean(0)
    assert (nll <= elbo + 1e-3).all()


@pytest.mark.parametrize("variational", [True, False])
def test_saves_and_loads(variational, tmp_path):
    model, x = small(variational=variational), pictures()
    model.save_pretrained(tmp_path)
    again = AutoEncoder.from_pretrained(tmp_path).eval()
    assert again.latent_dim == 3 and again.variational == variational
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert torch.equal(model.encode(x)[0], again.encode(x)[0])


def test_sample():
    model = small()
    (step,) = model.sample(5, seed=3)
    (other,) = model.sample(2, seed=4)
    assert step.x.shape == (5, 3) and step.x0.shape == (5, 1, 6, 6) and step.eps is None
    assert torch.equal(step.x[1:3], other.x), "picture i draws from seed + i alone"
    assert_close(step.x0, model.decode(step.x))


def test_gradients_reach_every_weight():
    model, x = small(), pictures()
    sum(term.mean() for term in model.loss(x).values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
