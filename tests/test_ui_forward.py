"""The forward tab's pure half: the closed form, the chain, and the check that they agree."""

import base64
import json
import math
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from diffuser.schedules import SCHEDULES
from diffuser.ui import forward, forward_chain, forward_schedules, gate
from diffuser.ui.forward_picture import chosen_picture, noised, plain


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_mixture_is_what_its_numbers_say(schedule: str) -> None:
    x0 = chosen_picture({"source": "digit", "digit": 3})
    m = noised(x0, 0.6, schedule, seed=5)
    torch.testing.assert_close(m.xt, m.alpha * m.x0 + m.sigma * m.eps)
    assert m.log_snr == pytest.approx(2 * math.log(m.alpha / m.sigma))
    assert torch.equal(m.eps, noised(x0, 0.1, schedule, seed=5).eps)


def test_time_zero_is_the_picture() -> None:
    x0 = chosen_picture({"source": "scene"})
    m = noised(x0, 0.0, "linear", 0)
    assert torch.equal(m.xt, x0) and m.log_snr == math.inf and m.shown == 1
    assert plain(m.log_snr) == "∞" and plain(-0.25, 2) == "−0.25"


def test_the_three_frames_and_the_formula() -> None:
    answer = forward.draw({"source": "digit", "t": 0.5, "schedule": "flow"})
    assert [f["quantity"] for f in answer["frames"]] == ["x0", "eps", "xt"]
    assert "".join(text for text, _ in answer["formula"]).count("0.500") == 2
    json.dumps(answer, allow_nan=False)


def test_a_drawing_of_ones_own_is_the_picture() -> None:
    px = base64.b64encode(bytes([255]) * (48 * 48 * 3)).decode()
    assert chosen_picture({"source": "own", "px": px}).min() == 1
    assert chosen_picture({"source": "own"}).max() == -1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_chain_adds_up_to_the_closed_form(schedule: str) -> None:
    x0 = np.linspace(-1, 1, 12).reshape(1, 3, 4)
    r = forward_chain.rule(schedule, 20)
    links = list(forward_chain.walk(x0, r, seed=1))
    assert len(links) == 21
    for m in links:
        wanted = r.alpha[m.k] * x0 + r.sigma[m.k] * m.eps
        np.testing.assert_allclose(m.x, wanted, atol=1e-12 * max(1, r.sigma[m.k]))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_identity_is_green_and_the_broken_chain_red(schedule: str) -> None:
    whole = forward_chain.identity({"schedule": schedule, "steps": 4})
    assert all(c["ok"] for c in whole["checks"]) and len(whole["curves"]) == 4
    broken = forward_chain.identity({"schedule": schedule, "steps": 4, "forget": True})
    assert all(c["ok"] for c in broken["checks"]) == (schedule == "ve")
    json.dumps(broken, allow_nan=False)


def test_ks_distance() -> None:
    x = np.arange(10.0)
    assert forward_chain.ks_distance(x, x) == 0
    assert forward_chain.ks_distance(x, x + 100) == 1
    assert forward_chain.ks_distance(x, x + 5) == 0.5


def test_the_chain_view_at_both_ends_and_in_colour() -> None:
    for far in (0.0, 1.0):
        answer = forward_chain.draw({"source": "scene", "far": far, "steps": 100})
        assert len(answer["frames"]) == 6
        json.dumps(answer, allow_nan=False)


def test_every_schedule_is_shown() -> None:
    assert len(forward_schedules.at_time({"t": 1.0})["frames"]) == len(SCHEDULES)
    films = forward_schedules.along_time({"source": "digit"})["frames"]
    assert {f["n"] for f in films} == {forward_schedules.MOMENTS}
    for panel in forward_schedules.panels():
        assert len(panel["lines"]) == len(SCHEDULES)
        json.dumps(panel, allow_nan=False)


@pytest.mark.parametrize(
    "args",
    [
        {"t": math.nan},
        {"t": 1.5},
        {"t": "0.5"},
        {"schedule": "none"},
        {"seed": 2.5},
        {"digit": 500},
        {"source": "web"},
        {"source": "own", "px": "AAAA"},
    ],
)
def test_bad_values_are_refused(args: dict) -> None:
    for view in (forward.draw, forward_schedules.at_time):
        if not set(args) & {"schedule"} or view is forward.draw:
            with pytest.raises(gate.BadInput):
                view(args)
    for bad in ({"steps": 0}, {"steps": 10**9}, {"far": math.inf}):
        with pytest.raises(gate.BadInput):
            forward_chain.draw(bad)


def test_noise_over_http_returns_the_picture_it_names() -> None:
    answer = forward.noise(0.25, digit=7, schedule="cosine", seed=3)
    m = noised(chosen_picture({"digit": 7}), 0.25, "cosine", 3)
    got = np.asarray(Image.open(BytesIO(base64.b64decode(answer["x_t"]))), np.float64)
    wanted = (m.xt[0, 0].numpy() / m.shown).clip(-1, 1) * 127.5 + 127.5
    assert np.abs(got - wanted).max() <= 0.5 + 1e-9
    assert (answer["alpha"], answer["sigma"], answer["seed"]) == (m.alpha, m.sigma, 3)
    assert forward.noise(0.0)["log_snr"] is None
    assert 0 <= forward.noise(0.5, seed=-1)["seed"] < 2**32


def test_jobs_beside_each_other_do_not_meet() -> None:
    asked = [{"t": 0.2, "seed": 1}, {"t": 0.9, "seed": 2, "schedule": "ve", "digit": 9}] * 4
    alone = [forward.draw(args) for args in asked]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(forward.draw, asked)) == alone
