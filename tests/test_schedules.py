"""The schedules against diffusers' tables and the laws that every schedule keeps."""

import pytest
import torch
from diffusers import DDIMScheduler
from torch.testing import assert_close

from diffuser.schedules import SCHEDULES, Table, linear_betas, log_snr, zero_terminal
from diffuser.stock import schedule_and_kind, stock_scheduler

TABLES = ["linear", "scaled-linear", "zero-snr"]
INNER = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)


@pytest.mark.parametrize("name", TABLES)
def test_table_equals_diffusers(name):
    # diffusers keeps its table in fp32, where a product of 1000 factors is right to about 1e-5
    theirs = stock_scheduler(name, "eps").alphas_cumprod.double()
    ours = SCHEDULES[name].alpha_bar
    assert len(ours) == 1001 and ours[0] == 1
    assert_close(ours[1:], theirs, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("name", TABLES)
def test_table_at_its_steps(name):
    """Step i of T is t = (i + 1) / T, whichever precision the time comes in."""
    table = SCHEDULES[name]
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        t = torch.arange(0, 1001, dtype=dtype) / 1000
        alpha, sigma = table(t)
        assert alpha.dtype == sigma.dtype == dtype
        assert_close(alpha.double() ** 2, table.alpha_bar, rtol=0, atol=tolerance)
        assert_close(sigma.double() ** 2, 1 - table.alpha_bar, rtol=0, atol=tolerance)


def test_zero_terminal():
    alpha_bar = SCHEDULES["zero-snr"].alpha_bar
    assert alpha_bar[-1] == 0
    # the first step keeps its noise level, only the last is moved
    assert_close(alpha_bar[1], SCHEDULES["scaled-linear"].alpha_bar[1], rtol=1e-12, atol=0)
    betas = zero_terminal(linear_betas())
    assert betas[-1] == 1 and (betas[:-1] < 1).all() and (betas > 0).all()
    table = SCHEDULES["zero-snr"]
    alpha, sigma = table(torch.tensor([1.0]))
    assert alpha == 0 and sigma == 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_log_snr_decreases(name):
    for dtype in (torch.float64, torch.float32):
        slope = log_snr(SCHEDULES[name], INNER.to(dtype)).diff()
        assert slope.isfinite().all() and (slope < 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_ends_of_time(name):
    alpha, sigma = SCHEDULES[name](torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert alpha[0] == 1
    if name == "ve":  # its "data" keep a trace of noise
        assert_close(sigma, torch.tensor([0.01, 50.0], dtype=torch.float64))
    else:
        assert sigma[0] == 0
        assert 0 <= alpha[1] < 0.07 and abs(sigma[1] - 1) < 0.005
    if name in ("flow", "zero-snr"):
        assert alpha[1] == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_shape_and_type(name):
    """t of any shape gives alpha and sigma of that shape and type."""
    for shape in ((), (3,), (2, 3)):
        for dtype in (torch.float32, torch.float64):
            t = torch.full(shape, 0.4, dtype=dtype)
            for value in SCHEDULES[name](t):
                assert value.shape == shape and value.dtype == dtype


@pytest.mark.parametrize("name", [n for n in SCHEDULES if n not in ("sub-vp", "ve", "flow")])
def test_variance_preserving(name):
    alpha, sigma = SCHEDULES[name](INNER)
    assert_close(alpha**2 + sigma**2, torch.ones_like(INNER))


def test_table_between_its_steps():
    """A table of a smooth schedule comes close to it everywhere, not at its steps alone."""
    alpha_bar = SCHEDULES["vp"](torch.linspace(0, 1, 1001, dtype=torch.float64))[0] ** 2
    table = Table(1 - alpha_bar[1:] / alpha_bar[:-1])
    t = (torch.arange(1000, dtype=torch.float64) + 0.37) / 1000
    for ours, exact in zip(table(t), SCHEDULES["vp"](t), strict=True):
        assert_close(ours, exact, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
@pytest.mark.parametrize("name", TABLES)
def test_stock_round_trip(name, kind, tmp_path):
    stock_scheduler(name, kind).save_pretrained(tmp_path)
    assert schedule_and_kind(DDIMScheduler.load_config(tmp_path)) == (name, kind)


def test_stock_unknown():
    config = dict(stock_scheduler("linear", "v").config, beta_end=0.03)
    with pytest.raises(ValueError, match="no schedule"):
        schedule_and_kind(config)
