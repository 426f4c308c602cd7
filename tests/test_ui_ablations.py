"""The sections on VAEs without a part and on collapse, on small networks with random weights."""

import base64
import json

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

import diffuser
from diffuser.ablations import FAMILY, Family
from diffuser.autoencoders import AutoEncoder
from diffuser.likelihood import kl_to_standard_normal
from diffuser.ui import coder, latent_ablations, latent_collapse, show
from diffuser.ui.gate import BadInput

PLANE = [*latent_ablations.GROUPS["deep"], *latent_ablations.GROUPS["textbook"]]


@pytest.fixture(autouse=True)
def nets(monkeypatch: pytest.MonkeyPatch) -> Family:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        members = {
            name: AutoEncoder(
                **{**{"width": 8, "encoder_blocks": 1, "decoder_blocks": 1}, **a.network}
            )
            for name, a in FAMILY.items()
        }
    family = Family(members).eval()
    draws = {name: {"prior_read": 0.5, "prior_frechet": 2.0} for name in FAMILY}
    monkeypatch.setattr(latent_ablations, "measured", lambda: draws)
    monkeypatch.setattr(latent_collapse, "measured", lambda: draws)
    monkeypatch.setattr(diffuser, "load", lambda name, trained=True: {"ablations": family}[name])
    latent_ablations.statistics.cache_clear()
    yield family
    latent_ablations.statistics.cache_clear()


def whole(answer: dict) -> dict:
    """An answer must be plain JSON, and every frame must have all its bytes."""
    json.dumps(answer, allow_nan=False)
    for f in answer.get("frames", []):
        assert len(base64.b64decode(f["px"])) == f["n"] * f["w"] * f["h"] * f["c"]
    return answer


def test_the_aggregate_kl_is_that_of_many_draws() -> None:
    mean, log_var = coder.encode("vae", coder.digits()[0])
    eps = torch.randn(500, 4000, 2, generator=torch.Generator().manual_seed(1))
    z = (mean[:, None] + (log_var / 2).exp()[:, None] * eps).flatten(0, 1)
    prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
    expected = kl_divergence(MultivariateNormal(z.mean(0), torch.cov(z.T)), prior).item()
    found = latent_ablations.statistics("vae").aggregate_kl
    assert found == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("member", FAMILY)
def test_statistics_follow_from_the_codes(member: str) -> None:
    found = latent_ablations.statistics(member)
    mean, log_var = coder.encode(member, coder.digits()[0])
    assert found.spread == pytest.approx(mean.var(0).sqrt().mean().item(), rel=1e-5)
    assert found.active == sum(v > 0.01 for v in mean.var(0).tolist())
    if member == "ae":
        assert found.log_var is None and found.kl is None and found.at_draw == found.at_mean
    else:
        assert found.log_var == pytest.approx(log_var.mean().item(), abs=1e-6)
        torch.testing.assert_close(found.kl, kl_to_standard_normal(mean, log_var).mean(0))
        assert found.at_draw != found.at_mean


def test_a_collapsed_posterior_has_no_active_unit_and_no_kl(nets: Family) -> None:
    with torch.no_grad():
        for p in nets[latent_collapse.TWIN].encoder.parameters():
            p.zero_()  # mean 0, log_var 0: the prior, whatever the picture
    found = latent_ablations.statistics(latent_collapse.TWIN)
    assert found.active == 0 and found.spread == 0
    assert found.kl.abs().max() == 0 and abs(found.aggregate_kl) < 1e-9


def test_the_grid_holds_equal_probability() -> None:
    z = latent_ablations.normal_grid(5)
    levels = torch.distributions.Normal(0.0, 1.0).cdf(z)
    steps = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    torch.testing.assert_close(levels[:5, 0], steps)  # left to right
    torch.testing.assert_close(levels[::5, 1], steps.flip(0))  # top to bottom: high to low


@pytest.mark.parametrize("group", latent_ablations.GROUPS)
def test_every_pad_has_the_map_of_its_member(group: str) -> None:
    for pad, member in zip(latent_ablations.PADS, latent_ablations.GROUPS[group], strict=True):
        found = whole(latent_ablations.family_map({"pad": pad, "group": group, "near": True}))
        assert found["name"] == latent_ablations.NAMES[member]
        assert found["centre"] == [0, 0] and found["half"] > 3
        mean, log_var = coder.encode(member, coder.digits()[0])
        np.testing.assert_allclose(np.array(found["points"])[:, :2], mean, atol=1e-4)
        if log_var is None:
            assert not found["clouds"]
        else:
            sizes = np.array(found["clouds"])[:, 2:4]
            np.testing.assert_allclose(sizes, (log_var / 2).exp()[: len(sizes)], rtol=1e-5)
        everything = latent_ablations.family_map({"pad": pad, "group": group, "near": False})
        away = (mean - torch.tensor(everything["centre"])).abs().amax(1)
        assert (away <= everything["half"]).float().mean() > 0.97


def test_one_z_is_drawn_by_all_four_and_told_to_the_other_pads() -> None:
    args = {"group": "deep", "z": [0.5, -1.0], "pad": "ablation-2"}
    answer = whole(latent_ablations.at_point(args))
    for f, member in zip(answer["frames"], latent_ablations.GROUPS["deep"], strict=True):
        expected = show.pictures(coder.decode(member, torch.tensor([[0.5, -1.0]])))
        assert base64.b64decode(f["px"]) == expected.tobytes()
    assert set(answer["say"]) == {"ablation-1", "ablation-3", "ablation-4"}
    assert all(message == {"z": [0.5, -1.0]} for message in answer["say"].values())


def test_planes_come_with_a_table() -> None:
    answer = whole(latent_ablations.planes({"group": "textbook"}))
    assert len(answer["frames"]) == 4 and len(answer["table"]) == 5
    assert len({len(row) for row in answer["table"]}) == 1
    assert whole(latent_ablations.planes({"group": "deep"}))["table"][4][1] == "none"


@pytest.mark.parametrize("member", latent_collapse.NAMES)
def test_the_bench_shows_ten_digits_and_what_they_carry(member: str) -> None:
    shown = whole(latent_collapse.bench({"member": member}))
    assert [f["n"] for f in shown["frames"]] == [10, 10, 10]
    answer = whole(latent_collapse.costs({"member": member}))
    heights = [bar[2] for bar in answer["curves"][0]["bars"]]
    assert heights == sorted(heights, reverse=True) and len(heights) == 10
    total = float(shown["numbers"][1][1].split()[0])
    assert total == pytest.approx(sum(heights), abs=0.006)
    green = [[bar[3] for bar in panel["bars"]].index("q-z") for panel in answer["curves"][1:]]
    assert green == [list(latent_collapse.NAMES).index(member)] * 3


def test_the_twins_have_the_same_scale() -> None:
    answer = whole(latent_collapse.twins({}))
    assert answer["curves"][0]["y"] == answer["curves"][1]["y"]
    assert len(answer["frames"]) == 3


@pytest.mark.parametrize("member", FAMILY)
def test_ablate_answers_for_every_member(member: str) -> None:
    dims = 2 if member in PLANE else 10
    answer = whole(latent_ablations.api_ablate(member, [0.0] * dims))
    assert base64.b64decode(answer["png"]).startswith(b"\x89PNG")
    assert answer["about"] == FAMILY[member].about
    if member != "ae":
        assert len(answer["kl"]) == dims
    assert 0 <= answer["read_as_digits"] <= 1 and answer["frechet"] > 0


@pytest.mark.parametrize(
    ("member", "z", "words"),
    [
        ("../../x", [0.0, 0.0], "member must be one of"),
        ("vae", [0.0], "must be 2 numbers"),
        ("beta-1", [0.0, 0.0], "must be 10 numbers"),
        ("vae", [0.0, float("nan")], "must be 2 numbers"),
        ("vae", [0.0, 1e9], "from -1000 to 1000"),
        (["vae"], [0.0, 0.0], "member must be one of"),
    ],
)
def test_ablate_refuses(member: object, z: object, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        latent_ablations.api_ablate(member, z)


def test_unknown_choices_are_refused() -> None:
    bad = {"group": "x", "pad": "ablation-9", "member": "x", "z": [0, 0]}
    for view in (
        latent_ablations.planes,
        latent_ablations.at_point,
        latent_collapse.bench,
        latent_collapse.costs,
    ):
        with pytest.raises(BadInput):
            view(bad)
    with pytest.raises(BadInput, match="pad must be one of"):
        latent_ablations.family_map({"group": "deep", "pad": "ablation-9"})
