"""The latent tab's functions, on the same networks with random weights."""

import base64
import json
from io import BytesIO

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

import diffuser
from diffuser.autoencoders import AutoEncoder
from diffuser.likelihood import kl_to_standard_normal
from diffuser.ui import coder, latent, latent_path, latent_posterior, latent_vector, show
from diffuser.ui.gate import BadInput


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = {}
    for name, dims in coder.DIMENSIONS.items():
        torch.manual_seed(dims)
        nets[name] = AutoEncoder(dims, not name.startswith("ae"), width=16).eval()
    monkeypatch.setattr(diffuser, "load", lambda name, trained=True: nets[name])
    for cached in (coder.codes, latent_vector.carried, latent_vector.home):
        cached.cache_clear()
    yield
    for cached in (coder.codes, latent_vector.carried, latent_vector.home):
        cached.cache_clear()


def whole(answer: dict) -> dict:
    """An answer must be plain JSON, and every frame must have all its bytes."""
    json.dumps(answer, allow_nan=False)
    for f in answer.get("frames", []):
        assert len(base64.b64decode(f["px"])) == f["n"] * f["w"] * f["h"] * f["c"]
    return answer


@pytest.mark.parametrize("model", coder.PLANES)
@pytest.mark.parametrize("trained", [True, False])
def test_the_map_holds_every_test_digit(model: str, trained: bool) -> None:
    found = whole(coder.latent_map({"model": model, "trained": trained}))
    assert len(found["points"]) == 500
    assert sorted({p[2] for p in found["points"]}) == list(range(10))
    assert found["half"] > 0


def test_the_picture_at_a_point_is_the_decoder_s() -> None:
    answer = whole(latent.at_point({"model": "vae-2d", "z": [0.5, -1.0]}))
    expected = show.pictures(coder.decode("vae-2d", torch.tensor([[0.5, -1.0]])))
    assert base64.b64decode(answer["frames"][0]["px"]) == expected.tobytes()


@pytest.mark.parametrize("z", [None, [0.0], [0.0, float("nan")], [0.0, 1e6], ["0", "0"], "00"])
def test_bad_points_are_refused(z: object) -> None:
    with pytest.raises(BadInput):
        latent.at_point({"model": "vae-2d", "z": z})


def test_unknown_models_are_refused() -> None:
    for view in (coder.latent_map, latent.at_point, latent_path.path_view):
        with pytest.raises(BadInput):
            view({"model": "../../x", "z": [0, 0], "a": 0, "b": 1})


def test_the_manifold_is_spaced_by_probability() -> None:
    picture, stretch = latent.manifold("vae-2d", True, side=3)
    assert picture.shape == (84, 84, 1) and stretch >= 1
    z = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor([1 / 6, 0.5, 5 / 6]))
    corner = coder.decode("vae-2d", torch.stack([z[0], z[2]])[None])  # top left: x low, y high
    everywhere = coder.decode("vae-2d", torch.cartesian_prod(z, z))
    low, high = everywhere.min().item(), everywhere.max().item()
    if stretch < 2:
        low, high = 0.0, 1.0
    np.testing.assert_array_equal(picture[:28, :28], show.pictures(corner, low, high)[0])
    assert len(whole(latent.manifolds({"trained": False}))["frames"]) == 2


def test_moving_eps_moves_z_by_the_standard_deviation() -> None:
    x = coder.digits()[0][7:8]
    mean, log_var = coder.encode("vae-2d", x)
    answer = whole(latent_posterior.posterior({"digit": 7, "eps": [1.0, -2.0], "px": None}))
    z = mean + (log_var / 2).exp() * torch.tensor([1.0, -2.0])
    expected = show.pictures(coder.decode("vae-2d", z))
    assert base64.b64decode(answer["frames"][0]["px"]) == expected.tobytes()
    ellipse = answer["say"]["posterior-pad"]["ellipse"]
    torch.testing.assert_close(torch.tensor(ellipse["std"]), (log_var[0] / 2).exp())
    assert f"{z[0, 0]:.3f}" in answer["numbers"][0][1]


def test_the_formula_adds_up_and_both_vaes_show_their_kl() -> None:
    answer = whole(latent_posterior.posterior({"digit": 7, "eps": [0.3, 0.1], "px": None}))
    numbers = {name: text for name, text, _ in answer["numbers"]}
    reconstruction = float(numbers["reconstruction"].split()[0])
    x = coder.digits()[0][7:8]
    for panel, model in zip(answer["curves"], ("vae-2d", "vae-20d"), strict=True):
        kl = kl_to_standard_normal(*coder.encode(model, x))[0]
        heights = torch.tensor([bar[2] for bar in panel["bars"]])
        torch.testing.assert_close(heights.sort().values, kl.sort().values)
    kl = kl_to_standard_normal(*coder.encode("vae-2d", x)).sum().item()
    total = float(answer["formula"][-1][0].strip(" =nats"))
    assert total == pytest.approx(reconstruction + kl, abs=0.1)


def test_a_drawing_is_used_and_not_sent_back() -> None:
    px = show.base64_of(bytes(784))
    answer = whole(latent_posterior.posterior({"digit": 7, "eps": [0.0, 0.0], "px": px}))
    assert list(answer["say"]) == ["posterior-pad"]
    picked = latent_posterior.posterior({"digit": 7, "eps": [0.0, 0.0], "px": None})
    assert "posterior-paper" in picked["say"]


def test_rows_are_sorted_by_what_they_carry() -> None:
    answer = whole(latent_vector.strips({"z": [0.0] * 20}))
    kl, _ = latent_vector.carried()
    assert sorted(answer["order"]) == list(range(20))
    carried = kl[answer["order"]]
    assert (carried[:-1] >= carried[1:]).all()
    assert all(strip["n"] == 9 for strip in answer["strips"])
    assert whole(latent_vector.strips({}))["z"] == list(latent_vector.home())


def test_a_traversal_moves_one_dimension_and_keeps_the_others() -> None:
    z = torch.linspace(-1, 1, 20)
    drawn = latent_vector.traversals(z)
    changed = z.clone()
    changed[4] = 3.0
    torch.testing.assert_close(drawn[4, -1], coder.decode("vae-20d", changed[None])[0])


def test_paths_begin_and_end_at_their_digits() -> None:
    a, b, t = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 2.0]), torch.linspace(0, 1, 5)
    for path in (latent_path.straight, latent_path.slerp):
        torch.testing.assert_close(path(a, b, t)[[0, -1]], torch.stack([a, b]))
    unit = latent_path.slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), t)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(latent_path.slerp(a, 2 * a, t), latent_path.straight(a, 2 * a, t))


def test_the_view_of_paths_offers_a_gif() -> None:
    answer = whole(latent_path.path_view({"model": "vae-20d", "a": 0, "b": 9}))
    assert [f["n"] for f in answer["frames"]] == [11, 11, 11]
    made = Image.open(BytesIO(base64.b64decode(answer["file"]["data"])))
    assert made.format == "GIF" and made.n_frames > 11


def test_the_endpoints_answer_with_what_they_promise() -> None:
    made = latent.api_decode([0.0] * 20, "vae-20d")
    assert np.shape(made["pixels"]) == (28, 28)
    coded = latent.api_encode(made["png"], "vae-20d")
    assert len(coded["mean"]) == len(coded["log_var"]) == len(coded["kl"]) == 20
    assert "log_var" not in latent.api_encode("data:image/png;base64," + made["png"], "ae-2d")
    found = latent_path.api_interpolate(0, 1, "ae-2d", 3)
    assert set(found) == {"straight", "slerp", "pixels", "gif"}
    for bad in (lambda: latent.api_decode([0.0], "vae-20d"), lambda: latent.api_encode("hello")):
        with pytest.raises(BadInput):
            bad()


def test_the_tab_builds_and_names_its_endpoints() -> None:
    with gr.Blocks() as demo:
        latent.build()
    names = {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"}
    assert {"decode", "encode", "interpolate"} <= names
