"""The family of ablated VAEs: each member's objective, and that the members do not touch."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from diffuser.ablations import BETAS, FAMILY, Ablation, Family
from diffuser.likelihood import bernoulli_nll


def pictures(n=6):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def member(**changes):
    """An ablation with a small random network that is not at its quiet start, and that network."""
    torch.manual_seed(0)
    network = {"latent_dim": 3, "width": 16, "variational": changes.pop("variational", True)}
    ablation = Ablation("", **changes, network=network)
    model = ablation.model()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return ablation, model.eval()


def by_hand(model, x, eps):
    """Reconstruction's logits and the KL of each dimension, by torch.distributions."""
    mean, log_var = model.encode(x)
    q = Normal(mean, (log_var / 2).exp())
    kl = kl_divergence(q, Normal(torch.zeros_like(mean), torch.ones_like(mean)))
    return model.decode_logits(mean + q.stddev * eps), kl


def drawn(seed, n=6, dims=3):
    torch.manual_seed(seed)
    return torch.randn(n, dims)


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_beta_weights_the_kl(beta):
    ablation, model = member(beta=beta)
    x = pictures()
    logits, kl = by_hand(model, x, drawn(3))
    torch.manual_seed(3)
    assert_close(ablation.objective(model, x), bernoulli_nll(logits, x) + beta * kl.sum(1))


def test_without_noise_z_is_the_mean():
    ablation, model = member(noise=False)
    x = pictures()
    logits, kl = by_hand(model, x, torch.zeros(6, 3))
    assert_close(ablation.objective(model, x), bernoulli_nll(logits, x) + kl.sum(1))


def test_without_kl_and_plain():
    ablation, model = member(beta=0.0)
    x = pictures()
    logits, _ = by_hand(model, x, drawn(3))
    torch.manual_seed(3)
    assert_close(ablation.objective(model, x), bernoulli_nll(logits, x))
    ablation, model = member(variational=False)
    logits = model.decode_logits(model.encode(x)[0])
    assert_close(ablation.objective(model, x), bernoulli_nll(logits, x))


def test_squared_error():
    ablation, model = member(pixels="squared", noise=False)
    x = pictures()
    logits, kl = by_hand(model, x, torch.zeros(6, 3))
    wanted = ((logits.sigmoid() - x) ** 2).sum((1, 2, 3)) + kl.sum(1)
    assert_close(ablation.objective(model, x), wanted)


def test_free_nats_push_only_what_is_above_them():
    """Below its free nats a dimension's KL has no gradient; above, the same as without them."""
    x = pictures()
    _, model = member(noise=False)
    _, kl = by_hand(model, x, torch.zeros(6, 3))
    level = float(kl.detach().mean(0).sort().values[:2].mean())  # between the least and the next
    for free, open_dims in ((level, kl.mean(0) > level), (0.0, torch.ones(3) > 0)):
        ablation = Ablation("", noise=False, free_nats=free, network={"latent_dim": 3})
        logits, kl = by_hand(model, x, torch.zeros(6, 3))
        wanted = bernoulli_nll(logits, x) + kl[:, open_dims].sum(1)
        assert_close(ablation.objective(model, x), wanted)


def test_members_do_not_touch():
    """One member's loss gives no gradient to another, so training together is training alone."""
    torch.manual_seed(0)
    family = Family()
    family.loss(pictures(2))["beta-1"].mean().backward()
    touched = {
        name
        for name, net in family.members.items()
        if any(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    }
    assert touched == {"beta-1"}


def test_family():
    assert {f"beta-{b:g}" for b in BETAS} | {"vae", "no-noise", "no-kl", "ae"} <= set(FAMILY)
    twin = FAMILY["free-nats"]
    assert twin.beta == max(BETAS) and twin.free_nats > 0
    sizes = {sum(p.numel() for p in FAMILY[name].model().parameters()) for name in ("vae", "no-kl")}
    assert len(sizes) == 1
    textbook = FAMILY["textbook-ce-mean"]
    shapes = [tuple(p.shape) for p in textbook.model().decoder.parameters()]
    assert shapes == [(256, 2), (256,), (784, 256), (784,)]
    assert textbook.beta == 1 / textbook.model().latent_dim


def test_saves_and_opens(tmp_path):
    torch.manual_seed(0)
    family = Family()
    family.save_pretrained(tmp_path)
    opened = Family.from_pretrained(tmp_path)
    x = pictures(2)
    for name in FAMILY:
        assert torch.equal(opened[name].encode(x)[0], family[name].encode(x)[0])
