"""The hierarchy tab's functions, on a small network with random weights."""

import base64
import json
import re

import gradio as gr
import numpy as np
import pytest
import torch
from torch import Tensor

import diffuser
from diffuser.hierarchical import HierarchicalVAE
from diffuser.ui import coder, hierarchy, hierarchy_nats, levels, show
from diffuser.ui.gate import BadInput


@pytest.fixture(autouse=True)
def net(monkeypatch: pytest.MonkeyPatch) -> HierarchicalVAE:
    torch.manual_seed(0)
    made = HierarchicalVAE(levels.SIZES, width=16, encoder_blocks=1, decoder_blocks=1)
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.3)
    made.eval().requires_grad_(False)
    monkeypatch.setattr(diffuser, "load", lambda name: {"hvae": made}[name])
    levels.usual_nats.cache_clear()
    yield made
    levels.usual_nats.cache_clear()


def whole(answer: dict) -> dict:
    """An answer must be plain JSON, and every frame must have all its bytes."""
    json.dumps(answer, allow_nan=False)
    for f in answer["frames"]:
        assert len(base64.b64decode(f["px"])) == f["n"] * f["w"] * f["h"] * f["c"]
    return answer


def pixels(frame: dict) -> np.ndarray:
    raw = np.frombuffer(base64.b64decode(frame["px"]), np.uint8)
    return raw.reshape(frame["n"], frame["h"], frame["w"], frame["c"])


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def asked(**changes: object) -> dict:
    return hierarchy.START | changes


def a_and_b() -> tuple[Tensor, Tensor]:
    return levels.picture({"digit": 3}), levels.picture({"digit": 9})


def mixed(*origin: str, warm: float = 1.0, seeds: tuple[int, ...] = (0, 0, 0, 0)) -> list[Tensor]:
    walked, _ = levels.mix(*a_and_b(), origin, [warm] * 4, seeds)
    return [latent.z for latent in walked]


def test_the_network_gets_black_and_white() -> None:
    x, grey = levels.picture({"digit": 3}), coder.digits()[0][3]
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(x[0] == 1, grey > 0.5)


def test_all_from_a_is_the_reconstruction_of_a_and_all_from_b_that_of_b(
    net: HierarchicalVAE,
) -> None:
    for origin, x in zip("ab", a_and_b(), strict=True):
        walked, logits = net.walk(1, net.features(x))
        found, mixture = levels.mix(*a_and_b(), [origin] * 4, [1.0] * 4, [0] * 4)
        assert torch.equal(logits, mixture)
        for one, same in zip(found, walked, strict=True):
            assert torch.equal(one.z, same.posterior[0])


@pytest.mark.parametrize("origin", ["a", "resample", "mean"])
@pytest.mark.parametrize("k", range(4))
def test_resampling_a_level_leaves_those_above_bit_equal(origin: str, k: int) -> None:
    choices = [origin] * 4
    choices[k] = "resample"
    before = mixed(*choices)
    again = mixed(*choices, seeds=tuple(7 if i == k else 0 for i in range(4)))
    for i, (one, other) in enumerate(zip(before, again, strict=True)):
        moved = i == k or (i > k and origin != "a")  # what is below hears it, unless it is A's
        assert torch.equal(one, other) == (not moved)


def test_a_level_from_b_is_b_s_and_the_others_stay_a_s() -> None:
    (a, b), z = a_and_b(), mixed("a", "b", "a", "a")
    for k, own in enumerate((a, b, a, a)):
        assert torch.equal(z[k], levels.latents_of(own)[k])


def test_temperature_scales_the_distance_from_the_prior_s_mean(net: HierarchicalVAE) -> None:
    mean = mixed("a", "mean", "a", "a")[1]
    assert torch.equal(mixed("a", "resample", "a", "a", warm=0.0)[1], mean)
    one = mixed("a", "resample", "a", "a")[1] - mean
    two = mixed("a", "resample", "a", "a", warm=2.0)[1] - mean
    torch.testing.assert_close(two, 2 * one)
    above = levels.latents_of(a_and_b()[0])[:1]
    log_var = net.walk(1, given=above)[0][1].prior[1]
    torch.testing.assert_close(one, (log_var / 2).exp() * net.noise(1, 0)[1])


def test_the_desk_shows_the_mixture_and_what_is_known_by_each_level() -> None:
    origin = ["a", "resample", "b", "mean"]
    answer = whole(hierarchy.desk(asked(digit=3, b=9, sources=origin)))
    walked, logits = levels.mix(*a_and_b(), origin, [1.0] * 4, [0] * 4)
    shown = show.pictures(logits.sigmoid())
    assert pixels(answer["frames"][0]).tobytes() == shown.tobytes()
    told = answer["say"]["hierarchy-desk"]["rows"]
    assert pixels(told[-1]["picture"]).tobytes() == shown.tobytes()
    z = [latent.z for latent in walked]
    for k, row in enumerate(told, 1):
        assert pixels(row["picture"]).tobytes() == show.pictures(levels.known(z, k)).tobytes()
        assert row["stripe"]["w"] == 32
    assert "hierarchy-paper" in answer["say"]
    drawing = show.base64_of(show.pictures(coder.digits()[0][3]).tobytes())
    same = whole(hierarchy.desk(asked(px=drawing, b=9, sources=origin)))
    assert same["frames"] == answer["frames"] and "hierarchy-paper" not in same["say"]


def test_the_desk_s_equation_adds_up(net: HierarchicalVAE) -> None:
    """log p(A, z) for A's own latents, with torch.distributions."""
    a = a_and_b()[0]
    walked, logits = net.walk(1, net.features(a))
    prior = [
        torch.distributions.Normal(mean, (log_var / 2).exp()).log_prob(z).sum().item()
        for z, (mean, log_var), _ in walked
    ]
    fit = torch.distributions.Bernoulli(logits=logits).log_prob(a).sum().item()
    answer = hierarchy.desk(asked(digit=3, sources=["a"] * 4))
    words = answer["formula"][-2][0] + answer["formula"][-1][0]
    numbers = [number(v) for v in re.findall(r"−?[\d,]+\.?\d*", words)]
    for found, exact in zip(numbers, (fit, sum(prior), fit + sum(prior)), strict=True):
        assert found == pytest.approx(exact, abs=0.06 if abs(exact) < 1000 else 0.6)
    for row, exact in zip(answer["say"]["hierarchy-desk"]["rows"], prior, strict=True):
        found = number(row["words"].split("= ")[1].split()[0])
        assert found == pytest.approx(exact, abs=0.06 if abs(exact) < 1000 else 0.6)


def test_a_number_is_free_where_the_prior_leaves_it_room() -> None:
    std = torch.tensor([[1.0, 0.01, 0.2, 0.04]])
    assert hierarchy.room(2 * std.log()) == "4 numbers, 2 free"
    rows = hierarchy.desk(asked(sources=["a"] * 4))["say"]["hierarchy-desk"]["rows"]
    assert rows[0]["size"] == "4 numbers, 4 free", "the top level's prior is N(0, I)"


def test_a_level_drawn_alone_or_with_all_below() -> None:
    z = levels.latents_of(a_and_b()[0])
    for k in range(4):
        alone = levels.resampled(z, k, True, 3, seed=5)
        below = levels.resampled(z, k, False, 3, seed=5)
        assert alone.shape == below.shape == (3, 1, 28, 28)
        assert torch.equal(alone, below) == (k == 3), "nothing is below the last level"
    answer = whole(hierarchy.decided({"digit": 3, "px": None}))
    assert [f["n"] for f in answer["frames"]] == [hierarchy.DRAWS] * 8
    first = pixels(answer["frames"][0])
    wanted = levels.resampled(z, 0, True, hierarchy.DRAWS, 0)
    assert first.tobytes() == show.pictures(wanted).tobytes()


def test_what_a_level_knows_begins_with_nothing_and_ends_with_the_reconstruction(
    net: HierarchicalVAE,
) -> None:
    a, b = a_and_b()
    z, other = levels.latents_of(a), levels.latents_of(b)
    torch.testing.assert_close(levels.known(z, 4), net.walk(1, net.features(a))[1].sigmoid())
    assert torch.equal(levels.known(z, 0), levels.known(other, 0))
    assert not torch.equal(levels.known(z, 1), levels.known(z, 0))


def test_the_nats_are_those_of_the_loss(net: HierarchicalVAE) -> None:
    answer = whole(hierarchy_nats.nats({"digit": 3, "px": None}))
    assert len(answer["frames"]) == 5
    a = a_and_b()[0]
    many = net.loss(a.expand(20_000, -1, -1, -1), net.noise(20_000, 10**6))
    found = levels.nats(a)
    assert set(found) == {"reconstruction", "kl_1", "kl_2", "kl_3", "kl_4"}
    for name, term in found.items():
        error = (term.var() / len(term) + many[name].var() / 20_000).sqrt()
        assert (term.mean() - many[name].mean()).abs() < 4 * error + 1e-4
    bars = [bar[2] for bar in answer["curves"][0]["bars"][::2]]
    assert bars == pytest.approx([found[f"kl_{k}"].mean().item() for k in range(1, 5)])
    assert all(term.shape == (500,) for term in levels.usual_nats().values())


def test_digits_are_drawn_one_step_a_level(net: HierarchicalVAE) -> None:
    steps = json.loads(hierarchy_nats.draws(4, 1.5))
    assert [(s["i"], s["n"], s["t"]) for s in steps] == [(k, 4, 1 - k / 4) for k in range(5)]
    drawn = list(net.sample(8, 4, 1.5))
    for told, step in zip(steps[1:], drawn, strict=True):
        assert pixels(told["frames"][0]).tobytes() == show.pictures(step.x0).tobytes()
    stripes = [pixels(s["frames"][1]) for s in steps]
    for k, (fewer, more) in enumerate(zip(stripes, stripes[1:], strict=False)):
        assert (fewer[:, : 4 * k] == more[:, : 4 * k]).all(), "what is drawn stays"
        assert (fewer[:, 4 * k :] == levels.BLANK).all()
    assert len({s["run"] for s in steps}) == 1
    assert json.loads(hierarchy_nats.draws(4, 1.5))[0]["run"] != steps[0]["run"]


def test_the_endpoint_answers_with_what_it_promises() -> None:
    origin = ["a", "b", "resample", "mean"]
    found = hierarchy.api_levels(3, 9, origin, 0.7, 5)
    json.dumps(found, allow_nan=False)
    assert [len(z) for z in found["z"]] == [4, 8, 16, 32] and found["seed"] == [5] * 4
    z = levels.mix(*a_and_b(), origin, [0.7] * 4, [5] * 4)[0]
    assert found["z"] == [latent.z[0].tolist() for latent in z]
    assert len(found["kl"]) == 4 and min(found["kl"]) > 0
    png = show.png(show.pictures(levels.known([latent.z for latent in z], 4))[0])
    assert base64.b64decode(found["png"]) == png
    assert hierarchy.api_levels(3, 9, origin, [0.7] * 4, [5] * 4) == found
    drawn = hierarchy.api_levels(3, 9, origin, 0.7, -1)["seed"]
    assert all(0 <= seed < 2**32 for seed in drawn) and drawn != [5] * 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"a": 500}, "digit must be"),
        ({"b": 1.5}, "digit must be"),
        ({"sources": ["a"] * 3}, "sources must be 4 of"),
        ({"sources": "aaaa"}, "sources must be 4 of"),
        ({"sources": ["a", "b", "c", "a"]}, "level 3 must be one of"),
        ({"temperature": 2.5}, "temperature must be a number from 0 to 2"),
        ({"temperature": [1, 1]}, "temperature must be one number, or 4"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"seed": -2}, "seed must be"),
        ({"seed": [1, 2, 3, True]}, "seed must be"),
    ],
)
def test_bad_values_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        hierarchy.api_levels(**{"a": 0, "b": 1, "sources": ["a"] * 4, **changes})


def test_views_refuse_what_is_not_there() -> None:
    for view in (hierarchy.desk, hierarchy.decided, hierarchy_nats.nats):
        with pytest.raises(BadInput):
            view({})
    with pytest.raises(BadInput):
        hierarchy_nats.draws(0, 3.0)


def test_without_weights_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise FileNotFoundError(name)

    monkeypatch.setattr(diffuser, "load", absent)
    with pytest.raises(BadInput, match="weights/hvae is missing"):
        hierarchy.desk(hierarchy.START)


def test_the_tab_builds_and_names_its_endpoint() -> None:
    with gr.Blocks() as demo:
        hierarchy.build()
    assert "levels" in {f.api_name for f in demo.fns.values() if f.api_visibility == "public"}
