"""The folder of weights: what loads, what is said where it does not, and what ships."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import diffuser
from diffuser import cards, weights
from diffuser.autoencoders import AutoEncoder
from diffuser.experiments import EXPERIMENTS

LIMIT_ALL, LIMIT_EACH = 150e6, 70e6  # bytes
SHIPPED = [name for name in EXPERIMENTS if (weights.WEIGHTS / name).exists()]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty place for weights, and nothing loaded before."""
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path)
    weights._loaded.clear()
    yield tmp_path
    weights._loaded.clear()


def test_names():
    names = diffuser.names()
    assert len(set(names)) == len(names)
    assert {"ae-2d", "vae-2d", "vae-20d", "ddpm-digits", "judge-digits"} <= set(names)


def test_unknown_name():
    with pytest.raises(ValueError, match="no model is called 'vae-3d'; there is ae-2d"):
        diffuser.load("vae-3d")
    with pytest.raises(ValueError, match="no model is called"):
        diffuser.load("vae-3d", trained=False)


def test_missing_weights(folder):
    with pytest.raises(FileNotFoundError, match="python -m diffuser train ae-2d"):
        diffuser.load("ae-2d")


def test_untrained_is_reproducible(folder):
    """The same network each time, whatever was drawn before, and nothing else is disturbed."""
    torch.manual_seed(1)
    first = diffuser.load("vae-2d", trained=False).state_dict()
    state = torch.random.get_rng_state()
    weights._loaded.clear()
    torch.manual_seed(2)
    second = diffuser.load("vae-2d", trained=False).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())


def test_load_is_cached_and_ready(folder):
    model = diffuser.load("vae-2d", trained=False, device="cpu")
    assert model is diffuser.load("vae-2d", trained=False, device="cpu")
    assert model is diffuser.load("vae-2d", trained=False, device=torch.device("cpu"))
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    double = diffuser.load("vae-2d", trained=False, device="cpu", dtype=torch.float64)
    assert double is not model and next(double.parameters()).dtype == torch.float64


def test_threads_open_one_network_after_another(folder, monkeypatch):
    """Each name once, never two at a time: opening one changes torch for all threads."""
    opened, inside, most = [], [], []

    def slow(name):
        opened.append(name)
        inside.append(name)
        time.sleep(0.05)
        most.append(len(inside))
        inside.remove(name)
        return AutoEncoder(2, width=8)

    monkeypatch.setattr(weights, "open_weights", slow)
    with ThreadPoolExecutor(8) as pool:
        nets = list(pool.map(diffuser.load, ["vae-2d", "ae-2d"] * 4))
    assert sorted(opened) == ["ae-2d", "vae-2d"] and max(most) == 1
    assert {id(net) for net in nets} == {id(nets[0]), id(nets[1])}


def test_saves_and_loads(folder):
    model = AutoEncoder(2, width=16)
    wanted = {key: value.half().float() for key, value in model.state_dict().items()}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert weights.save_weights("vae-2d", model, 12.6) == folder / "vae-2d"
    for key, value in model.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, before[key])
    opened = weights.open_weights("vae-2d")
    for key, value in opened.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, wanted[key])
    assert weights.open_weights("vae-2d") is not opened
    record = json.loads((folder / "vae-2d" / "experiment.json").read_text())
    assert record["name"] == "vae-2d" and record["training_seconds"] == 13
    assert record["steps"] == EXPERIMENTS["vae-2d"].steps and record["ramp"] == {"kl": 1000}


def test_save_replaces_the_weights_and_keeps_the_card(folder):
    weights.save_weights("vae-2d", AutoEncoder(2, width=16), 1)
    (folder / "vae-2d" / "README.md").write_text("card")
    (folder / "vae-2d" / "comparison.json").write_text("{}")
    model = AutoEncoder(2, width=8)
    weights.save_weights("vae-2d", model, 2)
    assert (folder / "vae-2d" / "README.md").read_text() == "card"
    assert (folder / "vae-2d" / "comparison.json").read_text() == "{}"
    assert weights.open_weights("vae-2d").config["width"] == 8
    assert [path.name for path in folder.iterdir()] == ["vae-2d"], "nothing is left beside it"


def test_a_failed_save_changes_nothing(folder, monkeypatch):
    weights.save_weights("vae-2d", AutoEncoder(2, width=16), 1)
    model = AutoEncoder(2, width=8)

    def fail(part):
        (part / "config.json").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(model, "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        weights.save_weights("vae-2d", model, 2)
    assert weights.open_weights("vae-2d").config["width"] == 16
    # and what it left behind does not come into the next folder
    monkeypatch.undo()
    monkeypatch.setattr(weights, "WEIGHTS", folder)
    (folder / ".vae-2d.part" / "rest").touch()
    weights.save_weights("vae-2d", model, 3)
    assert weights.open_weights("vae-2d").config["width"] == 8
    assert not (folder / "vae-2d" / "rest").exists()
    assert [path.name for path in folder.iterdir()] == ["vae-2d"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_folder(name):
    """Weights, the settings they were trained with, and a card with measured numbers."""
    folder = weights.WEIGHTS / name
    record = json.loads((folder / "experiment.json").read_text())
    assert record["name"] == name and record["training_seconds"] > 0
    network = weights.WEIGHTS / (EXPERIMENTS[name].within or name)
    assert any(network.rglob("*.safetensors"))
    assert not any(folder.rglob("*.bin")) and not any(folder.rglob("*.pt"))
    card = (folder / "README.md").read_text()
    figures = json.loads((folder / "evaluation.json").read_text())
    assert figures["command"] in card and figures["protocol"][1:] in card
    assert f"python -m diffuser train {name}" in card
    assert (folder / "samples.png").exists() or "samples.png" not in card
    others = folder / "comparison.json"
    assert ("## Compared" in card) == others.exists()
    assert not others.exists() or cards.comparison(json.loads(others.read_text())) in card


def test_sizes():
    sizes = {
        folder.name: sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        for folder in weights.WEIGHTS.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    }
    assert max(sizes.values()) < LIMIT_EACH
    assert sum(sizes.values()) < LIMIT_ALL
