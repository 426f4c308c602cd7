"""The reverse tab's pure half, on a network small enough to run at once."""

import base64
import json
import math
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
import torch
from diffusers import UNet2DModel
from PIL import Image

from diffuser.diffusion import Diffusion
from diffuser.samplers import SAMPLERS
from diffuser.ui import gate, reverse
from diffuser.ui.reverse import Settings


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Diffusion:
    """An untrained model of 8 x 8 pictures in the place of the shipped one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            block_out_channels=(8,),
            layers_per_block=1,
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            norm_num_groups=4,
            num_class_embeds=11,
        )
    model = Diffusion(unet).eval().requires_grad_(False)
    monkeypatch.setattr(reverse, "network", lambda: (model, False))
    reverse.opening.cache_clear()
    yield model
    reverse.opening.cache_clear()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_step_is_there_and_is_a_mixture(tiny: Diffusion, sampler: str) -> None:
    s = Settings(2, "3", 2.0, sampler, 6, 0.0, 4)
    moments = list(reverse.trajectory(s, tiny))
    assert [m.i for m in moments] == list(range(7))
    assert moments[0].t == 1 and moments[-1].t == 0 and moments[-1].log_snr == math.inf
    for m in moments[:-1]:
        torch.testing.assert_close(
            m.alpha * m.step.x0 + m.sigma * m.step.eps, m.step.x, atol=1e-4, rtol=1e-4
        )
    again = list(reverse.trajectory(s, tiny))
    assert all(torch.equal(a.step.x, b.step.x) for a, b in zip(moments, again, strict=True))


def test_network_evaluations_are_counted(tiny: Diffusion) -> None:
    def count(label: str, guidance: float, sampler: str) -> int:
        s = Settings(1, label, guidance, sampler, 5, 0.0, 0)
        return list(reverse.trajectory(s, tiny))[-1].evaluations

    assert count("none", 2.0, "ddim") == 5
    assert count("1", 1.0, "ddim") == count("1", 0.0, "ddim") == 5
    assert count("1", -1.0, "ddim") == 10
    assert count("none", 1.0, "heun") == 9  # its last step is Euler's
    assert "denoise" not in vars(tiny)


def test_guidance_zero_is_no_label_and_seeds_count(tiny: Diffusion) -> None:
    def last(**changes: object) -> torch.Tensor:
        s = Settings(2, "5", 1.0, "ddim", 3, 0.0, 7)._replace(**changes)
        return list(reverse.trajectory(s, tiny))[-1].step.x

    assert torch.equal(last(guidance=0.0), last(label="none"))
    assert not torch.equal(last(), last(seed=8))
    assert not torch.equal(last(eta=1.0), last())
    assert torch.equal(last(eta=1.0), last(sampler="ddpm"))


def test_the_player_gets_three_frames_and_the_numbers() -> None:
    got = [json.loads(step) for step in reverse.steps(4, "none", 1.0, "ddim", 20, 0.0, -1)]
    assert [step["i"] for step in got] == list(range(21))
    assert len({step["run"] for step in got}) == 1
    assert [f["quantity"] for f in got[0]["frames"]] == ["xt", "x0", "eps"]
    assert {f["n"] for f in got[0]["frames"]} == {4}
    numbers = {name: text for name, text, _ in got[-1]["numbers"]}
    assert 0 <= int(numbers["seed"]) < 2**32 and numbers["log-SNR"] == "∞"
    assert "untrained" in numbers["weights"]


def test_the_tab_opens_on_a_finished_scene() -> None:
    scene = [json.loads(step) for step in reverse.first_scene()]
    assert len(scene) == 21 and scene[0]["frames"][0]["n"] == 10
    assert list(reverse.first_scene()) == list(reverse.opening(False))


def test_one_of_each_is_ten() -> None:
    s = reverse.settings(1, "each", 1.0, "ddim", 20, 0.0, 0)
    assert s.pictures == 10 and s.classes == list(range(10))
    assert Settings(3, "4", 1, "ddim", 1, 0, 0).classes == [4, 4, 4]


GOOD = {
    "pictures": 1,
    "label": "none",
    "guidance": 1.0,
    "sampler": "ddim",
    "steps": 2,
    "eta": 0.0,
    "seed": 0,
}
BAD = [
    ("pictures", 9),
    ("label", "10"),
    ("label", 3),
    ("guidance", math.nan),
    ("sampler", "euler"),
    ("steps", 0),
    ("steps", 10**9),
    ("steps", math.nan),
    ("eta", 1.1),
    ("seed", -2),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_values_are_refused_by_name(name: str, value: object) -> None:
    asked = GOOD | {name: value}
    with pytest.raises(gate.BadInput, match=name):
        reverse.settings(*asked.values())
    found = dict(zip(GOOD, reverse.refusals(*asked.values()), strict=True))
    assert [k for k, answer in found.items() if not answer["is_valid"]] == [name]
    assert all(answer["is_valid"] for answer in reverse.refusals(*GOOD.values()))


def test_too_much_work_is_refused_although_each_value_is_allowed() -> None:
    asked = GOOD | {"pictures": 8, "label": "1", "guidance": 3, "sampler": "heun", "steps": 1000}
    refused = [a["message"] for a in reverse.refusals(*asked.values()) if not a["is_valid"]]
    assert len(refused) == 1 and "fewer" in refused[0]


def test_numbers_without_bound_end_in_words(tiny: Diffusion) -> None:
    tiny.unet.conv_out.bias.data.fill_(math.inf)
    with pytest.raises(gate.BadInput, match="guidance"):
        list(reverse.trajectory(Settings(1, "none", 1, "ddim", 2, 0, 0), tiny))


def test_denoise_over_http_ends_with_pictures_and_settings() -> None:
    *before, last = reverse.denoise(2, "7", 3.0, "dpmpp-2m", 3, 0.0, 11)
    assert [m["step"] for m in before] == [0, 1, 2] and before[0]["t"] == 1
    assert last["settings"]["seed"] == 11 and last["evaluations"] == 6 and not last["trained"]
    files = [Image.open(BytesIO(base64.b64decode(p))) for p in last["pictures"]]
    assert [f.size for f in files] == [(8, 8)] * 2


def test_jobs_beside_each_other_are_bit_equal_to_jobs_alone() -> None:
    asked = [
        (1, "2", 3.0, "ddim", 8, 1.0, 5),
        (4, "none", 1.0, "heun", 5, 0.0, 6),
    ] * 2

    def run(values: tuple) -> list[str]:
        return [{**json.loads(step), "run": None} for step in reverse.steps(*values)]

    alone = [run(values) for values in asked]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, asked)) == alone
