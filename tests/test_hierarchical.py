"""The hierarchical VAE: its terms by hand, its bounds by quadrature, and who changes whom."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence
from torch.testing import assert_close

from diffuser.autoencoders import AutoEncoder
from diffuser.hierarchical import HierarchicalVAE
from diffuser.likelihood import importance_bound

SIZES = (2, 3, 5)


def small(latents=SIZES, std=0.2) -> HierarchicalVAE:
    """A random network that is not at its quiet start, where residual branches are zero."""
    torch.manual_seed(0)
    model = HierarchicalVAE(latents, side=6, width=16, encoder_blocks=1, decoder_blocks=1)
    for p in model.parameters():
        nn.init.normal_(p, std=std)
    return model.eval().requires_grad_(False)


def pictures(n=4) -> Tensor:
    """Black and white, (n, 1, 6, 6)."""
    grey = torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    return (grey > 0.5).float()


def noises(n: int, sizes=SIZES, seed=2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, size, generator=generator) for size in sizes]


def by_hand(model: HierarchicalVAE, x: Tensor, eps: list[Tensor]):
    """The walk down spelled out: z, p and q of each level, and p(x | z)."""
    h = model.look(2 * x.flatten(1) - 1)
    seen = []
    for block in model.up:
        h = block(h)
        seen.insert(0, h)
    state = model.start.expand(len(x), -1)
    z, priors, posteriors = [], [], []
    for k, level in enumerate(model.levels):
        if k == 0:
            mean = log_var = torch.zeros(len(x), level.latent)
            moved, wider = level.posterior(seen[0]).chunk(2, 1)
        else:
            mean, log_var = level.prior(state).chunk(2, 1)
            moved, wider = level.posterior(torch.cat([state, seen[k]], 1)).chunk(2, 1)
        std = (log_var / 2).exp()
        priors.append(Independent(Normal(mean, std), 1))
        q = Normal(mean + std * moved, std * (wider / 2).exp())
        posteriors.append(Independent(q, 1))
        z.append(q.mean + q.stddev * eps[k])
        state = level.blocks(state + level.add(z[-1]))
    logits = model.leave(state).view(-1, 1, 6, 6)
    return z, priors, posteriors, Independent(Bernoulli(logits=logits), 3)


def test_terms_equal_torch_distributions():
    model, x, eps = small(), pictures(), noises(4)
    z, priors, posteriors, p_x = by_hand(model, x, eps)
    terms = model.loss(x, eps)
    assert set(terms) == {"reconstruction", "kl_1", "kl_2", "kl_3"}
    assert_close(terms["reconstruction"], -p_x.log_prob(x))
    for k, (q, p) in enumerate(zip(posteriors, priors, strict=True)):
        exact = kl_divergence(q, p)
        assert exact.min() > 0.01, "a posterior that says nothing would show nothing"
        assert_close(terms[f"kl_{k + 1}"], exact)
    latents, logits = model.walk(4, model.features(x), eps=eps)
    for found, exact in zip(latents, z, strict=True):
        assert_close(found.z, exact)
    assert_close(logits, p_x.base_dist.logits)


def test_with_one_level_it_is_the_plain_vae():
    """Its own networks, plugged into an AutoEncoder as encoder and decoder."""
    model, x, eps = small((3,)), pictures(), noises(4, (3,))
    (level,) = model.levels

    class Down(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return model.leave(level.blocks(model.start + level.add(z)))

    plain = AutoEncoder(3, side=6, width=16).eval()
    plain.encoder = nn.Sequential(model.look, *model.up, level.posterior)
    plain.decoder = Down()
    expected, found = plain.elbo(x, eps[0]), model.loss(x, eps)
    assert expected["kl"].min() > 0.01
    assert_close(found["reconstruction"], expected["reconstruction"])
    assert_close(found["kl_1"], expected["kl"])


def test_log_weights_equal_torch_distributions():
    model, x, count = small(), pictures(2), 3
    draws = torch.randn(6, sum(SIZES), generator=torch.Generator().manual_seed(5))
    repeated = x.repeat_interleave(count, 0)
    z, priors, posteriors, p_x = by_hand(model, repeated, list(draws.split(SIZES, 1)))
    exact = p_x.log_prob(repeated)
    for value, p, q in zip(z, priors, posteriors, strict=True):
        exact = exact + p.log_prob(value) - q.log_prob(value)
    found = model.log_weights(x, count, torch.Generator().manual_seed(5))
    assert_close(found, exact.view(2, count))


def test_log_weights_are_minus_the_loss_in_expectation():
    model, x, count = small(), pictures(3), 4000
    weights = model.log_weights(x, count, torch.Generator().manual_seed(6))
    torch.manual_seed(7)
    terms = model.loss(x.repeat_interleave(count, 0))
    loss = sum(terms.values()).view(3, count)
    error = ((weights.var(1) + loss.var(1)) / count).sqrt()
    assert (error < 0.1).all(), "too coarse to tell"
    assert ((weights.mean(1) + loss.mean(1)).abs() < 4 * error).all()


def test_more_draws_bound_closer():
    """Blocks of 2k draws against the same draws in blocks of k: by Jensen never lower."""
    model, x = small(std=0.4), pictures(3)
    weights = model.log_weights(x, 4096, torch.Generator().manual_seed(8))
    bounds = [importance_bound(weights.view(3, -1, 2**i)).mean(1) for i in range(13)]
    for fewer, more in zip(bounds, bounds[1:], strict=False):
        assert (more >= fewer - 1e-4).all()
    assert (bounds[-1] > bounds[0] + 0.01).all()


def test_bounds_lie_below_the_likelihood_and_reach_it():
    """log p(x) by quadrature over two latents of one dimension each."""
    model, x = small((1, 1), std=0.4), pictures(3)
    line = torch.linspace(-8, 8, 401)
    z1, e2 = (v.reshape(-1, 1) for v in torch.meshgrid(line, line, indexing="ij"))
    (_, lower), _ = model.walk(len(z1), given=[z1])
    std = (lower.prior[1] / 2).exp()
    _, logits = model.walk(len(z1), given=[z1, lower.prior[0] + std * e2])
    # in the units of eps both priors are N(0, 1), and one cell has the area 0.04^2
    log_prior = Normal(0.0, 1.0).log_prob(torch.cat([z1, e2], 1)).sum(1)
    area = 2 * math.log(line[1] - line[0])
    p_x = Independent(Bernoulli(logits=logits), 3)
    exact = torch.stack([(p_x.log_prob(one) + log_prior).logsumexp(0) + area for one in x])
    weights = model.log_weights(x, 20_000, torch.Generator().manual_seed(9))
    elbo = weights.mean(1)
    assert (elbo < exact).all()
    reached = importance_bound(weights)
    spread = (weights - reached[:, None]).exp().std(1) / math.sqrt(20_000)
    assert (spread < 0.05).all(), "too few draws to tell"
    assert ((reached - exact).abs() < 4 * spread + 1e-4).all()


@pytest.mark.parametrize("k", range(3))
def test_resampling_a_level_leaves_those_above_bit_equal(k):
    """Whether the other levels are those of a picture or drawn: only k and what is below moves."""
    model, eps, other = small(), noises(4), noises(4, seed=3)
    mixed = [*eps[:k], other[k], *eps[k + 1 :]]
    before, first = model.walk(4, eps=eps)
    after, second = model.walk(4, eps=mixed)
    for i, (a, b) in enumerate(zip(before, after, strict=True)):
        assert torch.equal(a.z, b.z) == (i < k)
        assert torch.equal(a.prior[0], b.prior[0]) == (i <= k)
    assert not torch.equal(first, second)

    kept = [one.z for one in model.walk(4, model.features(pictures()))[0]]
    given: list[Tensor | None] = [*kept]
    given[k] = None
    latents, _ = model.walk(4, given=given, eps=eps)
    for i, (a, b) in enumerate(zip(kept, latents, strict=True)):
        assert torch.equal(a, b.z) == (i != k)


def test_without_noise_a_level_takes_its_mean():
    model, x = small(), pictures()
    for latent in model.walk(4, model.features(x))[0]:
        assert torch.equal(latent.z, latent.posterior[0])
    for latent in model.walk(4)[0]:
        assert latent.posterior is None and torch.equal(latent.z, latent.prior[0])


def test_sample_yields_one_step_a_level():
    model = small()
    steps = list(model.sample(8, seed=3))
    assert [step.x.shape for step in steps] == [(8, size) for size in SIZES]
    assert_close(torch.stack([step.t for step in steps]), torch.tensor([2 / 3, 1 / 3, 0.0]))
    for step in steps:
        assert step.eps is None and step.x0.shape == (8, 1, 6, 6)
        assert step.x0.min() >= 0 and step.x0.max() <= 1
    z = [step.x for step in steps]
    assert torch.equal(z[0], model.noise(8, 3)[0]), "the top level's prior is N(0, I)"
    for k, step in enumerate(steps):
        _, logits = model.walk(8, given=z[: k + 1])
        assert torch.equal(step.x0, logits.sigmoid())
    *_, cold = model.sample(8, seed=4, temperature=0.0)
    assert_close(cold.x0, model.walk(8)[1].sigmoid())


def test_a_picture_s_seed_does_not_depend_on_the_batch():
    model = small()
    *_, batch = model.sample(8, seed=3)
    for i in (0, 5):
        *_, alone = model.sample(1, seed=3 + i)
        assert_close(alone.x0[0], batch.x0[i], atol=1e-4, rtol=0)
        assert not torch.allclose(alone.x0[0], batch.x0[i - 1], atol=1e-2)


def test_saves_and_loads(tmp_path):
    model, x, eps = small(), pictures(), noises(4)
    model.save_pretrained(tmp_path)
    again = HierarchicalVAE.from_pretrained(tmp_path).eval()
    assert again.latents == SIZES
    before, after = model.loss(x, eps), again.loss(x, eps)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_gradients_reach_every_weight():
    model = small().requires_grad_(True)
    sum(term.mean() for term in model.loss(pictures()).values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
