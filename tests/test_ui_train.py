"""The VAE that learns in the page: what it learns, how it stops, goes on, and is freed."""

import base64
import gc
import json
import threading
import time
import weakref
from io import BytesIO

import pytest
import torch
from PIL import Image
from torch import nn

from diffuser import live
from diffuser.data import fetch
from diffuser.device import one_thread
from diffuser.likelihood import bernoulli_nll
from diffuser.live import Learner, learn
from diffuser.ui import gate, latent_train
from diffuser.ui.latent_train import Visit


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """600 real digits and a narrow net in the place of all of them and of the shipped width."""
    digits = torch.from_numpy(live.shipped_digits("train")[0][:600])[:, None]
    monkeypatch.setattr(latent_train, "training_digits", lambda: digits)
    monkeypatch.setattr(
        latent_train,
        "Learner",
        lambda digits, seed=0, beta=1.0: Learner(digits, seed, beta, width=16),
    )
    latent_train.untrained.cache_clear()
    yield digits
    latent_train.untrained.cache_clear()


def after(steps: int, digits: torch.Tensor, **changes: object) -> Learner:
    learner = Learner(digits, **{"width": 16, **changes})
    for _ in range(steps):
        learner.advance()
    return learner


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_the_same_seed_and_steps_give_the_same_net(few_digits: torch.Tensor) -> None:
    one, other = after(0, few_digits), after(0, few_digits)
    for _ in range(7):  # side by side, while somebody else draws from PyTorch's own generator
        one.advance()
        torch.randn(3)
        other.advance()
    assert torch.equal(weights(one.average), weights(other.average))
    alone = after(7, few_digits)
    assert torch.equal(weights(one.model), weights(alone.model))
    assert not torch.equal(weights(one.model), weights(after(7, few_digits, seed=1).model))
    assert not torch.equal(weights(one.model), weights(after(7, few_digits, beta=2.0).model))


def test_it_begins_as_pytorch_begins_but_for_its_own_generator(few_digits: torch.Tensor) -> None:
    torch.manual_seed(0)
    usual = live.AutoEncoder(2, width=64, encoder_blocks=1, decoder_blocks=1)
    ours = after(0, few_digits, width=64).model
    for (name, a), b in zip(usual.named_parameters(), ours.parameters(), strict=True):
        if a.numel() >= 1000:  # enough draws to compare the laws
            assert b.abs().max().item() == pytest.approx(a.abs().max().item(), rel=0.03), name
            assert b.std().item() == pytest.approx(a.std().item(), rel=0.1, abs=1e-9), name


def test_the_average_weighs_step_t_as_the_power_law_does(few_digits: torch.Tensor) -> None:
    learner, path = after(0, few_digits), []
    for _ in range(20):
        learner.advance()
        path.append(weights(learner.model).double())
    # Karras et al. 2024: the share of everything up to step t is (t / n)^(gamma + 1)
    t = torch.arange(21, dtype=torch.float64) / 20
    share = (t ** (live.GAMMA + 1)).diff()
    expected = (share[:, None] * torch.stack(path)).sum(0)
    torch.testing.assert_close(weights(learner.average).double(), expected, atol=1e-6, rtol=0)


def test_a_new_beta_starts_a_new_average(few_digits: torch.Tensor) -> None:
    learner = after(5, few_digits)
    assert not torch.equal(weights(learner.average), weights(learner.model))
    learner.beta = 4.0
    learner.advance()
    torch.testing.assert_close(weights(learner.average), weights(learner.model))


def test_every_digit_is_seen_once_before_any_is_seen_again(few_digits: torch.Tensor) -> None:
    learner = after(0, few_digits)
    seen = torch.cat([learner._batch() for _ in range(-(-len(few_digits) // live.BATCH))])
    total = few_digits.float().div(255).sum((1, 2, 3)).sort().values
    torch.testing.assert_close(seen.sum((1, 2, 3)).sort().values, total)


def test_it_learns_more_than_the_mean_picture(few_digits: torch.Tensor) -> None:
    """A net that learned nothing of single digits can at best draw the mean of all."""
    test = live.test_digits().float() / 255
    mean = (few_digits.float() / 255).mean(0, keepdim=True)
    constant = bernoulli_nll(mean.logit(1e-4).expand_as(test), test).mean().item()
    moment = after(400, few_digits, width=64).moment()
    assert sum(moment.test) < constant - 5
    assert moment.test[1] > 1, "it says something about each digit"
    assert sum(moment.train) < sum(moment.test), "the digits it learns from it knows better"


def test_without_beta_the_kl_grows_and_with_much_it_collapses(few_digits: torch.Tensor) -> None:
    free, held = (after(200, few_digits, beta=b).moment() for b in (0.0, 10.0))
    assert free.test[1] > 4 * held.test[1] + 1
    assert free.codes.std() > 2 * held.codes.std()


def test_a_moment_is_measured_on_the_shipped_test_digits(few_digits: torch.Tensor) -> None:
    learner = after(3, few_digits)
    m = learner.moment()
    x = torch.from_numpy(live.shipped_digits("test")[0])[:, None].float() / 255
    with torch.no_grad():
        mean, _ = learner.average.encode(x)
        corner = learner.average.decode(live.prior_grid()[:1])
    torch.testing.assert_close(m.codes, mean)
    torch.testing.assert_close(m.grid[:1], corner)
    z = live.prior_grid()
    assert z.shape == (225, 2) and z[0, 0] < 0 < z[0, 1], "the first cell is at the top left"
    cells = torch.distributions.Normal(0.0, 1.0).cdf(z)
    expected = (torch.arange(15) + 0.5) / 15
    torch.testing.assert_close(cells[:, 0].unique(), expected, atol=1e-5, rtol=0)


def test_a_press_ends_on_time_and_leaves_the_threads_alone(few_digits: torch.Tensor) -> None:
    before = torch.get_num_threads()
    began = time.monotonic()
    moments = list(learn(after(0, few_digits), 1.5))
    assert 1.5 <= time.monotonic() - began < 3
    assert moments[0].step == 0 and moments[0].left == 1.5 and moments[-1].left == 0
    assert [m.step for m in moments] == sorted({m.step for m in moments})
    assert torch.get_num_threads() == before


def test_one_thread_is_for_this_thread_alone() -> None:
    before, found = torch.get_num_threads(), []

    def look() -> None:
        torch.ones(2, 2) @ torch.ones(2, 2)
        found.append(torch.get_num_threads())

    torch.set_num_threads(3)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            newcomer = threading.Thread(target=look)
            newcomer.start()
            newcomer.join()
        assert found == [3] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def read(step: tuple[str, Visit]) -> dict:
    return json.loads(step[0])


def test_stop_frees_the_lane_at_once_and_resume_goes_on_where_it_was() -> None:
    press = latent_train.begin(60, 1.0, 3)
    first = [next(press) for _ in range(4)]
    visit = first[-1][1]
    began = time.monotonic()
    press.close()
    assert time.monotonic() - began < 1
    stopped = weights(visit.learner.model)
    step, last = visit.learner.step, read(first[-1])

    again = latent_train.resume(visit, 5, 1.0)
    more = [read(next(again)) for _ in range(3)]
    assert more[0]["run"] == last["run"]
    # The moment that was under way when Stop came may be sent twice; none may be missing.
    assert [m["i"] for m in more] == [3, 4, 5]
    assert more[0]["test"] == last["test"], "learning was not reset"
    assert more[0]["seconds"] == last["seconds"] and visit.learner.step > step
    assert sum(more[2]["test"]) < sum(read(first[0])["test"])
    again.close()
    assert not torch.equal(stopped, weights(visit.learner.model))


def test_resumed_steps_are_the_steps_of_a_run_that_was_not_stopped(
    few_digits: torch.Tensor,
) -> None:
    whole = after(9, few_digits)
    stopped = after(4, few_digits)
    moments = learn(stopped, 5.0)
    next(moments)
    moments.close()
    for _ in range(5):
        stopped.advance()
    assert torch.equal(weights(whole.average), weights(stopped.average))


def test_beta_can_change_between_stop_and_resume_and_while_it_learns() -> None:
    press = latent_train.begin(60, 1.0, 3)
    visit = next(press)[1]
    latent_train.set_beta(visit, 7.5)
    next(press)
    assert visit.learner.beta == 7.5
    press.close()
    step = read(next(latent_train.resume(visit, 5, 0.5)))
    assert any("0.5" in text for text, _ in step["formula"]) and visit.learner.beta == 0.5
    latent_train.set_beta(None, 3.0)  # nobody has trained yet
    with pytest.raises(gate.BadInput, match="beta must be"):
        latent_train.set_beta(visit, 11)


def test_a_stopped_net_is_freed_with_its_visit() -> None:
    press = latent_train.begin(60, 1.0, 3)
    step, visit = next(press)
    next(press)
    net = weakref.ref(visit.learner)
    press.close()
    assert net() is not None, "Resume needs it"
    del press, visit
    gc.collect()
    assert net() is None


def test_train_begins_anew_and_resume_says_so_where_nothing_is() -> None:
    with pytest.raises(gate.BadInput, match="Press Train"):
        next(latent_train.resume(None, 5, 1.0))
    a, b = (latent_train.begin(5, 1.0, 3) for _ in range(2))
    one, other = read(next(a)), read(next(b))
    assert one["run"] != other["run"] and one["test"] == other["test"]
    a.close(), b.close()


def test_one_net_learns_no_longer_than_the_page_can_keep(few_digits: torch.Tensor) -> None:
    learner = after(0, few_digits)
    learner.seconds = latent_train.MOST - 2.5
    step = read(next(latent_train.resume(Visit(learner, "run"), 60, 1.0)))
    assert step["left"] == pytest.approx(2.5)
    learner.seconds = latent_train.MOST
    with pytest.raises(gate.BadInput, match="150 s"):
        next(latent_train.resume(Visit(learner, "run"), 60, 1.0))


def test_the_player_gets_the_plane_the_map_and_the_terms() -> None:
    scene = [json.loads(step) for step in latent_train.first_scene()]
    assert len(scene) == 1 and scene[0]["i"] == scene[0]["n"] == 0
    frame = scene[0]["frames"][0]
    assert (frame["w"], frame["h"], frame["n"]) == (420, 420, 1)
    assert len(base64.b64decode(frame["px"])) == 420 * 420
    assert len(scene[0]["points"]) == 500
    assert sorted({c for _, _, c in scene[0]["points"]}) == list(range(10))
    *_, r, _, kl, total = [text for text, _ in scene[0]["formula"]]
    assert float(r) + float(kl) == pytest.approx(float(total.split()[1]), abs=0.1)
    assert ["learns from", "600 digits", "x0"] in scene[0]["numbers"]


def test_the_digits_are_those_that_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(fetch, "cache_dir", lambda: tmp_path)
    live.training_digits.cache_clear()
    try:
        assert live.training_digits().shape == (5000, 1, 28, 28)
    finally:
        live.training_digits.cache_clear()


def test_train_over_http_ends_with_the_manifold() -> None:
    *before, last = latent_train.api_train(5, 0.5, 11)
    assert len(before) > 2 and "manifold" not in before[-1]
    assert last["seed"] == 11 and last["beta"] == 0.5 and last["digits"] == 600
    assert last["negative_elbo"] == pytest.approx(sum(last["test"].values()))
    picture = Image.open(BytesIO(base64.b64decode(last["manifold"])))
    assert picture.size == (420, 420)


GOOD = {"seconds": 20, "beta": 1.0, "seed": 0}
BAD = [
    ("seconds", 4),
    ("seconds", 61),
    ("seconds", 7.5),
    ("seconds", "10"),
    ("beta", -0.1),
    ("beta", 10.5),
    ("beta", float("nan")),
    ("seed", -2),
    ("seed", True),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_values_are_refused_by_name(name: str, value: object) -> None:
    asked = GOOD | {name: value}
    for stream in (latent_train.begin, latent_train.api_train):
        with pytest.raises(gate.BadInput, match=name):
            next(stream(*asked.values()))
    found = dict(zip(GOOD, latent_train.refusals(*asked.values()), strict=True))
    assert [k for k, answer in found.items() if not answer["is_valid"]] == [name]
    assert all(answer["is_valid"] for answer in latent_train.refusals(*GOOD.values()))
