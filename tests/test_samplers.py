"""The samplers against diffusers' schedulers and against exactly solvable data.

For data N(m, s^2) the best denoiser is linear in x, so a sampler carries every noise it meets to
its result by an affine map. A batch of unit impulses reads that map off, and with it the mean and
the deviation of the samples, exactly: no test here draws at random to measure a moment.
"""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch.testing import assert_close

from diffuser.gaussian import resolve
from diffuser.samplers import SAMPLERS, ddim, named, seeded_noise, trailing
from diffuser.schedules import SCHEDULES
from diffuser.stock import stock_scheduler

MEAN, DEVIATION = 0.7, 0.3


def times(n, first=1.0, last=0.0):
    return torch.linspace(first, last, n + 1, dtype=torch.float64)


# --- diffusers ------------------------------------------------------------------------------


def dummy_output(x, t):
    """Stands for a network: smooth in x and t, and no kind's exact answer."""
    return 0.6 * torch.tanh(x) + 0.3 * torch.cos(5 * t + x.flip(-1)) - 0.1


def our_states(name, schedule, kind, n, start, noise=None, eta=0.0):
    table = SCHEDULES[schedule]

    def denoise(x, t):
        return resolve(kind, dummy_output(x, t), x, *table(t))

    return [step.x for step in named(name, eta)(denoise, table, start, times(n), noise)]


def their_states(scheduler, n, start, **options):
    """The states that a stock scheduler goes through; its step i is the time (i + 1) / 1000."""
    scheduler.set_timesteps(n)
    states = [start]
    for i in scheduler.timesteps:
        output = dummy_output(states[-1], (i.double() + 1) / 1000)
        states.append(scheduler.step(output, i, states[-1], **options).prev_sample)
    return states


def start_noise(seed=0):
    return torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(seed)).double()


def repeated_noise(seed=1):
    """Two sources of the same float64 noise: a generator for diffusers, a function for us."""
    ours, theirs = (torch.Generator().manual_seed(seed) for _ in range(2))
    return (lambda: torch.randn(2, 3, 4, generator=ours, dtype=torch.float64)), theirs


# DDIMScheduler and DDPMScheduler find the previous step by subtracting T // n, which leaves their
# own trailing list where n does not divide T = 1000. We follow the list, so n divides T here.
# clip_sample is off: it is a property of the data, not of the sampler. All their tables are fp32.


@pytest.mark.parametrize("n", [10, 50])
@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
@pytest.mark.parametrize("schedule", ["linear", "scaled-linear"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_equals_diffusers(schedule, kind, n, eta):
    draw, generator = repeated_noise()
    ours = our_states("ddim", schedule, kind, n, start_noise(), draw, eta)
    # eta above 0 needs the generator; `variance_noise` would serve as well, but not both
    options = {"eta": eta, "generator": generator if eta else None}
    theirs = their_states(stock_scheduler(schedule, kind), n, start_noise(), **options)
    assert len(ours) == n + 1
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [10, 50])
def test_ddim_equals_diffusers_from_pure_noise(n):
    """With zero-terminal SNR, where only v (or x0) says anything at t = 1."""
    ours = our_states("ddim", "zero-snr", "v", n, start_noise())
    theirs = their_states(stock_scheduler("zero-snr", "v"), n, start_noise())
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [50, 1000])
@pytest.mark.parametrize("kind", ["eps", "v"])
@pytest.mark.parametrize("schedule", ["linear", "scaled-linear"])
def test_ddpm_equals_diffusers(schedule, kind, n):
    config = dict(stock_scheduler(schedule, kind).config)
    scheduler = DDPMScheduler.from_config(config, variance_type="fixed_small")
    draw, generator = repeated_noise()
    ours = our_states("ddpm", schedule, kind, n, start_noise(), draw)
    theirs = their_states(scheduler, n, start_noise(), generator=generator)
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [5, 10, 20, 50])
@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
@pytest.mark.parametrize("schedule", ["linear", "scaled-linear"])
def test_dpmpp_2m_equals_diffusers(schedule, kind, n):
    # a final sigma of zero, our t = 0, makes their last step first order, as ours is; so
    # lower_order_final, which does the same below 15 steps, changes nothing. Zero-terminal SNR is
    # left out: they put alpha-bar = 2^-24 in the place of 0.
    config = dict(stock_scheduler(schedule, kind).config)
    scheduler = DPMSolverMultistepScheduler.from_config(config, final_sigmas_type="zero")
    ours = our_states("dpmpp-2m", schedule, kind, n, start_noise())
    theirs = their_states(scheduler, n, start_noise())
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 4, 13, 20, 50, 300, 1000])
def test_trailing_times(n):
    scheduler = DDIMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(n)
    index = (trailing(n)[:-1] * 1000).round() - 1
    # between two steps of the table we stay between them; diffusers rounds to one
    assert (index - scheduler.timesteps).abs().max() <= (0 if 1000 % n == 0 else 1)
    assert trailing(n)[0] == 1 and trailing(n)[-1] == 0 and len(trailing(n)) == n + 1


# --- data N(m, s^2) -------------------------------------------------------------------------


def exact_denoiser(schedule):
    """E[x0 | x_t] for x0 ~ N(MEAN, DEVIATION^2), and the eps that goes with it."""

    def denoise(x, t):
        alpha, sigma = schedule(t)
        var = alpha**2 * DEVIATION**2 + sigma**2
        x0 = MEAN + alpha * DEVIATION**2 / var * (x - alpha * MEAN)
        return x0, sigma / var * (x - alpha * MEAN)

    return denoise


def marginal(schedule, t):
    """Mean and deviation of x_t."""
    alpha, sigma = schedule(t)
    return alpha * MEAN, (alpha**2 * DEVIATION**2 + sigma**2).sqrt()


def moments(name, schedule, n, first=1.0, last=0.0):
    """Mean and deviation of the samples, exactly: row 0 has no noise, row k + 1 noise k alone."""
    grid = times(n, first, last)
    rows, drawn = 4 * n + 2, [0]

    def impulse():
        drawn[0] += 1
        return torch.eye(rows, dtype=torch.float64)[:, drawn[0]]

    mean, deviation = marginal(schedule, grid[0])
    start = mean + deviation * impulse()
    *_, end = SAMPLERS[name](exact_denoiser(schedule), schedule, start, grid, impulse)
    return end.x[0], (end.x[1:] - end.x[0]).norm()


TOLERANCE = {"ddpm": 0.12, "ddim": 0.08}
"""On the deviation at 100 steps; 0.05 for samplers of second order."""


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_recovers_the_data(name, schedule):
    """100 steps from t = 1 to 0. What is missing is the bias of finitely many steps."""
    mean, deviation = moments(name, SCHEDULES[schedule], 100)
    assert abs(mean - MEAN) < 1e-9
    assert abs(deviation / DEVIATION - 1) < TOLERANCE.get(name, 0.05)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_bias_vanishes(name, schedule):
    """Four times the steps leave less than 45 % of the bias, whatever the order."""
    # VE's last sigma is 0.01, so its samples are that much wider than the data
    _, data = marginal(SCHEDULES[schedule], torch.zeros((), dtype=torch.float64))
    few, many = (abs(moments(name, SCHEDULES[schedule], n)[1] - data) for n in (25, 100))
    assert many < 0.45 * few + 1e-4


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_few_steps(name, schedule):
    """Five steps stay in bounds: a sampler may blur, it may not explode."""
    _, deviation = moments(name, SCHEDULES[schedule], 5)
    assert deviation < 2 * DEVIATION


def flow_errors(name, schedule, steps, first=0.95, last=0.05):
    """Error at t = last against the exact flow map, which keeps (x_t - mean_t) / deviation_t."""
    errors = []
    for n in steps:
        grid = times(n, first, last)
        mean, deviation = marginal(schedule, grid[0])
        start = mean + deviation * torch.tensor([-1.5, 0.5, 1.0], dtype=torch.float64)
        *_, end = SAMPLERS[name](exact_denoiser(schedule), schedule, start, grid, None)
        mean, deviation = marginal(schedule, grid[-1])
        exact = mean + deviation * torch.tensor([-1.5, 0.5, 1.0], dtype=torch.float64)
        errors.append((end.x - exact).norm().item())
    return errors


# the tables are left out: between their steps they are smooth in pieces only
@pytest.mark.parametrize("schedule", ["vp", "sub-vp", "ve", "flow", "cosine", "sigmoid"])
@pytest.mark.parametrize(
    ("name", "order", "steps"), [("ddim", 1, 100), ("heun", 2, 100), ("dpmpp-2m", 2, 400)]
)
def test_order(name, order, steps, schedule):
    """On t in [0.05, 0.95], the error falls by 2^order with each doubling of the steps."""
    coarse, fine = flow_errors(name, SCHEDULES[schedule], (steps, 2 * steps))
    assert coarse < 0.1
    assert abs(coarse / fine / 2**order - 1) < 0.2


# --- the contract ---------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_steps(name, schedule):
    """n + 1 Steps, x = alpha x0 + sigma eps in each, and x = x0 at the end."""
    draw = seeded_noise((3, 2), seed=5, dtype=torch.float64)
    start = draw()
    run = SAMPLERS[name](
        exact_denoiser(SCHEDULES[schedule]), SCHEDULES[schedule], start, times(7), draw
    )
    steps = list(run)
    assert len(steps) == 8
    assert torch.equal(torch.stack([step.t for step in steps]), times(7))
    assert steps[0].x is start
    for step in steps[:-1]:
        alpha, sigma = SCHEDULES[schedule](step.t)
        assert_close(step.x, alpha * step.x0 + sigma * step.eps)
    if schedule != "ve":  # which keeps a trace of noise
        assert_close(steps[-1].x, steps[-1].x0)


@pytest.mark.parametrize(
    ("name", "evaluations"), [("ddpm", 7), ("ddim", 7), ("dpmpp-2m", 7), ("heun", 13)]
)
def test_network_evaluations(name, evaluations):
    calls = []
    exact = exact_denoiser(SCHEDULES["linear"])

    def denoise(x, t):
        calls.append(t)
        return exact(x, t)

    draw = seeded_noise((3, 2), seed=5)
    list(SAMPLERS[name](denoise, SCHEDULES["linear"], draw(), times(7), draw))
    assert len(calls) == evaluations


@pytest.mark.parametrize("name", SAMPLERS)
def test_grad_mode(name):
    """The network runs without gradients; whoever iterates keeps the mode that it had."""
    scale = torch.ones((), requires_grad=True)

    def denoise(x, t):
        assert not torch.is_grad_enabled()
        return scale * x, scale * x

    draw = seeded_noise((3, 2), seed=5)
    run = SAMPLERS[name](denoise, SCHEDULES["flow"], draw(), trailing(3), draw)
    next(run)
    assert torch.is_grad_enabled()
    with torch.no_grad():
        step = next(run)
        assert not torch.is_grad_enabled()
    assert not step.x.requires_grad
    run.close()
    assert torch.is_grad_enabled()


def test_seeded_noise():
    """Picture i depends on seed + i alone: not on its batch, nor on what other pictures draw."""
    six = seeded_noise((6, 2, 3), seed=10)
    first, second = six(), six()
    assert first.shape == (6, 2, 3) and not torch.equal(first, second)
    for i in range(6):
        one = seeded_noise((1, 2, 3), seed=10 + i)
        assert torch.equal(one()[0], first[i]) and torch.equal(one()[0], second[i])
    assert seeded_noise((2, 3), 0, torch.float64)().dtype == torch.float64


@pytest.mark.parametrize("name", SAMPLERS)
def test_batch_independence(name):
    """A picture is the same alone and in a batch, noise of the way included."""
    schedule = SCHEDULES["linear"]

    def last(n, seed):
        draw = seeded_noise((n, 3), seed, torch.float64)
        *_, end = SAMPLERS[name](exact_denoiser(schedule), schedule, draw(), times(6), draw)
        return end.x

    assert torch.equal(last(4, 20)[2], last(1, 22)[0])


def test_named():
    for name in SAMPLERS:
        assert callable(named(name))
    assert named("heun") is SAMPLERS["heun"]
    with pytest.raises(ValueError, match="sampler is one of ddpm, ddim"):
        named("euler")


def test_eta_is_for_ddim_alone():
    schedule, start = SCHEDULES["linear"], start_noise()

    def last(name, eta):
        draw = seeded_noise((2, 3, 4), seed=3, dtype=torch.float64)
        *_, end = named(name, eta)(exact_denoiser(schedule), schedule, start, times(6), draw)
        return end.x

    assert torch.equal(last("ddim", 1.0), last("ddpm", 0.0))
    assert not torch.equal(last("ddim", 0.5), last("ddim", 0.0))
    assert torch.equal(last("heun", 1.0), last("heun", 0.0))
    assert ddim is SAMPLERS["ddim"]
