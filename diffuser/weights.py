"""The folder `weights/`: what ships, how it is written, how it is opened."""

import copy
import json
import shutil
import threading
from dataclasses import fields
from pathlib import Path

import torch
from torch import nn

from diffuser.device import default_device
from diffuser.experiments import EXPERIMENTS, WEIGHTS, Experiment


def names() -> list[str]:
    """What `load` accepts."""
    return list(EXPERIMENTS)


def _known(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise ValueError(f"no model is called {name!r}; there is {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def load(
    name: str,
    *,
    trained: bool = True,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """A model by its name, in evaluation mode; the same object each time: do not change it.

    trained=False gives the same network with random weights (seed 0). Raises ValueError for an
    unknown name and FileNotFoundError where the weights are not there.
    """
    _known(name)
    device = torch.device(device) if device is not None else default_device()
    key = name, trained, device, dtype or torch.float32
    if key not in _loaded:
        with _opening:
            if key not in _loaded:
                _loaded[key] = _made(*key)
    return _loaded[key]


_loaded: dict[tuple, nn.Module] = {}
# diffusers builds an empty network by patching torch's modules for all threads at once, and the
# seed of a random one is all threads' too: two at a time would spoil each other.
_opening = threading.RLock()


def _made(name: str, trained: bool, device: torch.device, dtype: torch.dtype) -> nn.Module:
    if trained:
        model = open_weights(name)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = EXPERIMENTS[name].model()
    # diffusers' own `to` warns of layers that must stay in fp32 even where there are none
    return nn.Module.to(model, device, dtype).eval().requires_grad_(False)


def open_weights(name: str) -> nn.Module:
    """The shipped model in fp32 on the CPU, a new object that may be changed."""
    if not trained_before(name):
        raise FileNotFoundError(
            f"{WEIGHTS / name} is missing: fetch the whole repository, "
            f"or train the model with `python -m diffuser train {name}`"
        )
    return _known(name).open(WEIGHTS / (_known(name).within or name)).float()


def trained_before(name: str) -> bool:
    """Whether there are weights of that name."""
    return (WEIGHTS / name / "experiment.json").exists()


def save_weights(name: str, model: nn.Module, seconds: float) -> Path:
    """Writes the model in fp16 as `save_pretrained` does; returns the folder with experiment.json.

    The model is left as it is.
    """
    _replace(WEIGHTS / (_known(name).within or name), model)
    settings = {
        f.name: value
        for f in fields(Experiment)
        if isinstance(value := getattr(EXPERIMENTS[name], f.name), str | int | float | dict)
    }
    record = {"name": name, **settings, "training_seconds": round(seconds)}
    folder = WEIGHTS / name
    folder.mkdir(exist_ok=True)
    part = folder / "experiment.json.part"
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(folder / "experiment.json")
    return folder


def _replace(folder: Path, model: nn.Module) -> None:
    """Saves the model into a folder, which changes only when the new one is whole.

    What else lies there, cards, figures and other parts, is carried over.
    """
    name = folder.name
    part, old = folder.with_name(f".{name}.part"), folder.with_name(f".{name}.old")
    if old.exists() and not folder.exists():  # killed between the two renames below
        old.rename(folder)
    for rest in (part, old):
        shutil.rmtree(rest, ignore_errors=True)
    if folder.exists():
        shutil.copytree(folder, part)
    part.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).half().save_pretrained(part)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
