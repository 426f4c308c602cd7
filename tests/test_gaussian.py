"""The pair (x0, eps), its four spellings, the SDE and the posterior, against closed forms."""

import pytest
import torch
from torch.testing import assert_close

from diffuser.gaussian import KINDS, expand, mix, posterior, resolve, sde, target
from diffuser.schedules import SCHEDULES, linear_betas

INNER = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)


def pair(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, n, 3, 2, generator=generator, dtype=torch.float64))


def test_expand():
    x = torch.zeros(4, 3, 2)
    assert expand(torch.arange(4.0), x).shape == (4, 1, 1)
    assert expand(torch.tensor(2.0), x).shape == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_resolve_undoes_target(name, kind):
    # both ends of time, wherever the spelling is defined there
    t = torch.cat([torch.zeros(1), INNER, torch.ones(1)]).double()
    alpha, sigma = SCHEDULES[name](t)
    defined = {"eps": alpha > 0, "x0": sigma > 0, "v": alpha > -1, "score": (alpha * sigma) > 0}
    alpha, sigma = alpha[defined[kind]], sigma[defined[kind]]
    x0, eps = pair(len(alpha))
    x = mix(x0, eps, alpha, sigma)
    back = resolve(kind, target(kind, x0, eps, alpha, sigma), x, alpha, sigma)
    assert_close(back, (x0, eps), rtol=1e-9, atol=1e-9)


def test_unknown_kind():
    one = torch.ones(1)
    with pytest.raises(ValueError, match="kind is one of eps, x0, v, score"):
        target("noise", one, one, one, one)
    with pytest.raises(ValueError, match="kind is one of eps, x0, v, score"):
        resolve("noise", one, one, one, one)


def test_resolve_takes_one_time_for_all():
    x0, eps = pair(4)
    alpha, sigma = SCHEDULES["vp"](torch.tensor(0.3, dtype=torch.float64))
    x = mix(x0, eps, alpha, sigma)
    assert_close(resolve("v", target("v", x0, eps, alpha, sigma), x, alpha, sigma), (x0, eps))


def test_sde_variance_preserving():
    """Song et al. 2021, eq. 11: dx = -beta x / 2 dt + sqrt(beta) dw."""
    beta = 0.1 + INNER * 19.9
    assert_close(sde(SCHEDULES["vp"], INNER), (-beta / 2, beta))


def test_sde_sub_variance_preserving():
    """Song et al. 2021, eq. 12: g^2 = beta (1 - exp(-2 integral of beta))."""
    beta = 0.1 + INNER * 19.9
    integral = 0.1 * INNER + 19.9 * INNER**2 / 2
    g2 = beta * (1 - (-2 * integral).exp())
    assert_close(sde(SCHEDULES["sub-vp"], INNER), (-beta / 2, g2))


def test_sde_variance_exploding():
    """Song et al. 2021, eq. 9: f = 0, g^2 = d sigma^2 / dt."""
    ratio = torch.tensor(5000.0, dtype=torch.float64)
    sigma = 0.01 * ratio**INNER
    f, g2 = sde(SCHEDULES["ve"], INNER)
    assert_close(f, torch.zeros_like(INNER))
    assert_close(g2, 2 * sigma**2 * ratio.log())


def test_sde_flow():
    """From d sigma^2 / dt = 2 f sigma^2 + g^2 with alpha = 1 - t, sigma = t."""
    t = INNER
    assert_close(sde(SCHEDULES["flow"], t), (-1 / (1 - t), 2 * t + 2 * t**2 / (1 - t)))


@pytest.mark.parametrize("name", SCHEDULES)
def test_sde_keeps_the_marginals(name):
    """d alpha / dt = f alpha and d sigma^2 / dt = 2 f sigma^2 + g^2, by central differences."""
    t, h = INNER + 0.00037, 1e-6  # off the knots of the tables
    f, g2 = sde(SCHEDULES[name], t)
    (a0, s0), (a1, s1), (alpha, sigma) = (SCHEDULES[name](u) for u in (t - h, t + h, t))
    assert_close((a1 - a0) / (2 * h), f * alpha, rtol=1e-6, atol=1e-7)
    assert_close((s1**2 - s0**2) / (2 * h), 2 * f * sigma**2 + g2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_sde_at_the_steps_of_a_table(name):
    """At the times that samplers visit, too: a table gives one of its two one-sided slopes."""
    t, h = torch.linspace(0.1, 0.9, 9, dtype=torch.float64), 1e-3
    f, g2 = sde(SCHEDULES[name], t)
    slope = (SCHEDULES[name](t + h)[0].log() - SCHEDULES[name](t - h)[0].log()) / (2 * h)
    assert_close(f, slope, rtol=0.02, atol=1e-6)
    assert (g2 > 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_posterior_by_bayes(name):
    """q(x_s | x_t, x0) against q(x_t | x_s) q(x_s | x0), normalised on a grid of x_s."""
    s, t = torch.tensor(0.42, dtype=torch.float64), torch.tensor(0.58, dtype=torch.float64)
    (alpha_s, sigma_s), (alpha_t, sigma_t) = SCHEDULES[name](s), SCHEDULES[name](t)
    x0, x = torch.tensor([[0.8]]).double(), torch.tensor([[-0.3]]).double()
    mean, var = posterior(x0, x, SCHEDULES[name], s, t)
    grid = mean.item() + torch.linspace(-12, 12, 20001, dtype=torch.float64) * var.sqrt()
    step = alpha_t / alpha_s
    step_var = sigma_t**2 - step**2 * sigma_s**2
    log_density = -((x[0] - step * grid) ** 2) / (2 * step_var)
    log_density = log_density - (grid - alpha_s * x0[0]) ** 2 / (2 * sigma_s**2)
    weight = log_density.softmax(0)
    by_grid = (weight * grid).sum()
    assert_close(mean[0, 0], by_grid, rtol=1e-6, atol=1e-8)
    assert_close(var, (weight * (grid - by_grid) ** 2).sum(), rtol=1e-6, atol=0)


def test_posterior_of_ddpm():
    """Ho et al. 2020, eq. 6 and 7, in their betas, at every step of the table."""
    table = SCHEDULES["linear"]
    x0, x = pair(999)
    i = torch.arange(2, 1001)
    mean, var = posterior(x0, x, table, (i - 1).double() / 1000, i.double() / 1000)
    bar, bar_before = table.alpha_bar[i], table.alpha_bar[i - 1]
    a = bar / bar_before
    expected = expand(bar_before.sqrt() * (1 - a) / (1 - bar), x) * x0
    expected = expected + expand(a.sqrt() * (1 - bar_before) / (1 - bar), x) * x
    assert_close(mean, expected, rtol=1e-7, atol=1e-9)
    assert_close(var, (1 - a) * (1 - bar_before) / (1 - bar), rtol=1e-7, atol=0)


def test_posterior_at_data():
    """At s = 0 nothing is left open: the posterior is x0 itself."""
    x0, x = pair(5)
    zero, half = torch.zeros(5, dtype=torch.float64), torch.full((5,), 0.5, dtype=torch.float64)
    mean, var = posterior(x0, x, SCHEDULES["vp"], zero, half)
    assert_close(mean, x0)
    assert (var == 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_chain_of_kernels(name):
    """The one-step kernels q(x_t | x_s), one after another, end in the closed form q(x_t | x0)."""
    t = torch.linspace(0, 0.98, 50, dtype=torch.float64)
    alpha, sigma = SCHEDULES[name](t)
    mean, var = alpha[0], sigma[0] ** 2
    for i in range(len(t) - 1):
        a = alpha[i + 1] / alpha[i]
        step_var = sigma[i + 1] ** 2 - a**2 * sigma[i] ** 2
        assert step_var > 0
        mean, var = a * mean, a**2 * var + step_var
    assert_close((mean, var.sqrt()), (alpha[-1], sigma[-1]))


def test_chain_of_ddpm_betas():
    """Ho et al. 2020, eq. 2 to 4: x <- sqrt(1 - beta) x + sqrt(beta) z, a thousand times."""
    mean, var = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for i, beta in enumerate(linear_betas()):
        mean, var = (1 - beta).sqrt() * mean, (1 - beta) * var + beta
        if i % 100 == 99:
            alpha, sigma = SCHEDULES["linear"](torch.tensor((i + 1) / 1000, dtype=torch.float64))
            assert_close((mean, var.sqrt()), (alpha, sigma))


@pytest.mark.parametrize("name", ["vp", "sub-vp", "ve", "flow"])
def test_chain_by_sde(name):
    """The moments carried along sde() by the midpoint rule end in the closed form."""
    times = torch.linspace(0.05, 0.9, 401, dtype=torch.float64)
    schedule = SCHEDULES[name]
    alpha, sigma = schedule(times)
    mean, var = alpha[0], sigma[0] ** 2
    f, g2 = sde(schedule, (times[1:] + times[:-1]) / 2)
    for i in range(len(f)):
        h = times[i + 1] - times[i]
        half_mean, half_var = mean * (1 + f[i] * h / 2), var + (2 * f[i] * var + g2[i]) * h / 2
        mean, var = mean + f[i] * half_mean * h, var + (2 * f[i] * half_var + g2[i]) * h
    assert_close(mean, alpha[-1], rtol=1e-3, atol=1e-4)
    assert_close(var.sqrt(), sigma[-1], rtol=1e-3, atol=1e-4)
