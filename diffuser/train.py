"""Training as a generator of records: logging, stopping and drawing belong to whoever iterates.

Batches and noise depend on the seed, the step and the process alone, so a run that is stopped and
resumed from its checkpoint is the run that was not stopped.
"""

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from diffuser.data import cache_dir
from diffuser.device import autocast, default_device, fast_dtype
from diffuser.experiments import Experiment


@dataclass(frozen=True)
class Record:
    """One step of training: the mean of each loss term over the batch, and the pace."""

    step: int
    steps: int
    terms: dict[str, float]
    examples_per_second: float
    seconds: float
    """Training time so far, over all runs since step 0."""


def checkpoint_file(name: str) -> Path:
    """Where a run keeps its state: outside the repository."""
    return cache_dir() / "checkpoints" / f"{name}.pt"


def rate_at(step: int, experiment: Experiment) -> float:
    """Share of the learning rate: a short linear rise, a constant stretch, a cosine fall to 0."""
    rise = min(1.0, (step + 1) / experiment.rise)
    part = step / experiment.steps - (1 - experiment.decay)
    fall = 0.5 * (1 + cos(pi * part / experiment.decay)) if part > 0 else 1.0
    return rise * fall


def _as_matrix(p: Tensor) -> Tensor:
    """A convolution's kernel as the matrix that it is, (outputs, inputs * k * k)."""
    return p.detach().flatten(1) if p.ndim > 2 else p.detach()


class Trainer:
    """The state of a run: the network that computes (fp32 or bf16), its masters, their average.

    Masters and average (EMA) are always fp32. Each process sees batches of its own; gradients
    are averaged over processes in one flat reduction, so one process pays nothing for it.
    """

    def __init__(
        self,
        name: str,
        experiment: Experiment,
        start: nn.Module | None = None,
        device: torch.device | None = None,
    ):
        self.name, self.experiment = name, experiment
        self.batches = experiment.data()
        self.accelerator = Accelerator(cpu=(device or default_device()).type == "cpu")
        self.device = device or self.accelerator.device
        torch.manual_seed(experiment.seed)
        model = start if start is not None else experiment.model()
        self.model = model.to(self.device).train()
        self.params = [p for p in self.model.parameters() if p.requires_grad]
        self.masters = [_as_matrix(p).float().clone() for p in self.params]
        self.average = [m.clone() for m in self.masters]
        # what is not trained ships as it came, not as bf16 has rounded it
        self.kept = {k: p for k, p in self.model.named_parameters() if not p.requires_grad}
        self.kept = {k: p.detach().float().clone() for k, p in self.kept.items()}
        self.pure = experiment.pure_bf16 and fast_dtype(self.device) is torch.bfloat16
        if self.pure:
            self.model.to(torch.bfloat16)
        matrices = [m for m in self.masters if m.ndim == 2 and experiment.optimizer == "muon"]
        others = [m for m in self.masters if m.ndim != 2 or experiment.optimizer != "muon"]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                others,
                experiment.rate,
                betas=(0.9, 0.99),
                weight_decay=experiment.weight_decay,
                fused=True,
            )
        ]
        if matrices:
            self.optimizers.append(
                torch.optim.Muon(
                    matrices,
                    experiment.rate * 3,
                    weight_decay=experiment.weight_decay,
                    adjust_lr_fn="original",
                )
            )
        self.rates = [group["lr"] for o in self.optimizers for group in o.param_groups]
        self.step, self.seconds = 0, 0.0

    def _weight(self, term: str) -> float:
        ramp = self.experiment.ramp.get(term, 0)
        return min(1.0, self.step / ramp) if ramp else 1.0

    def advance(self) -> Record:
        """One step of the optimiser."""
        began = time.perf_counter()
        e, rank = self.experiment, self.accelerator.process_index
        world = self.accelerator.num_processes
        place = self.step * world + rank
        # two streams that are not related: what the batch draws and what the model draws
        for_batch, for_model = np.random.SeedSequence((e.seed, place)).generate_state(2)
        generator = torch.Generator().manual_seed(int(for_batch))
        batch = self.batches(place, e.batch // world, generator)
        batch = tuple(part.to(self.device) for part in batch)
        torch.manual_seed(int(for_model))
        with nullcontext() if self.pure else autocast(self.device):
            terms = self.model(*batch)
        total = sum(self._weight(k) * v.mean() for k, v in terms.items())
        total.backward()
        self._update()
        self.step += 1
        seconds = time.perf_counter() - began
        self.seconds += seconds
        means = {k: float(v.detach().mean()) for k, v in terms.items()}
        return Record(self.step, e.steps, means, e.batch / seconds, self.seconds)

    @torch.no_grad()
    def _update(self) -> None:
        e = self.experiment
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.params]
        if self.accelerator.num_processes > 1:
            flat = torch.cat([g.float().flatten() for g in grads])
            flat = self.accelerator.reduce(flat, "mean")
            grads = flat.split([g.numel() for g in grads])
        for master, grad in zip(self.masters, grads, strict=True):
            master.grad = grad.float().view_as(master)
        for p in self.params:
            p.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self.masters, e.clip)
        if not norm.isfinite():
            return  # one batch with a broken gradient must not spoil the weights
        share = rate_at(self.step, e)
        groups = [group for o in self.optimizers for group in o.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * share
        for optimizer in self.optimizers:
            optimizer.step()
        for p, master in zip(self.params, self.masters, strict=True):
            p.copy_(master.view_as(p))
        # a young average forgets faster, or the first steps would weigh on it for long
        keep = min(e.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.average, self.masters, 1 - keep)

    @torch.no_grad()
    def averaged(self) -> nn.Module:
        """The model with the averaged weights, in fp32, for pictures and for `weights/`."""
        model = self.experiment.model().to(self.device).eval()
        state = {
            k: v.to(torch.float32) if v.is_floating_point() else v
            for k, v in self.model.state_dict().items()
        }
        model.load_state_dict(state | self.kept)
        ours = (p for p in model.parameters() if p.requires_grad)
        for p, value in zip(ours, self.average, strict=True):
            p.copy_(value.view_as(p))
        return model

    def save(self, file: Path) -> None:
        """Writes the whole state beside its place and renames it there: never half a file."""
        if not self.accelerator.is_main_process:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        torch.save(
            {
                "step": self.step,
                "seconds": self.seconds,
                "masters": self.masters,
                "average": self.average,
                "optimizers": [o.state_dict() for o in self.optimizers],
            },
            part,
        )
        part.replace(file)

    @torch.no_grad()
    def resume(self, file: Path) -> None:
        """Takes up the state that `save` wrote."""
        state = torch.load(file, map_location=self.device, weights_only=True)
        self.step, self.seconds = state["step"], state["seconds"]
        for ours, theirs in zip(
            self.masters + self.average, state["masters"] + state["average"], strict=True
        ):
            ours.copy_(theirs)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for p, master in zip(self.params, self.masters, strict=True):
            p.copy_(master.view_as(p))


def train(trainer: Trainer, *, every: float = 180.0) -> Iterator[Record]:
    """Trains to the experiment's last step, with a checkpoint every `every` seconds.

    Resumes by itself where a checkpoint exists. Dropping the generator stops the run; the state
    up to the last checkpoint, or up to a `trainer.save` of the caller's, is kept.
    """
    file = checkpoint_file(trainer.name)
    if file.exists():
        trainer.resume(file)
    saved = time.monotonic()
    while trainer.step < trainer.experiment.steps:
        record = trainer.advance()
        if time.monotonic() - saved > every or record.step == record.steps:
            trainer.save(file)
            saved = time.monotonic()
        yield record


def save_sheet(pictures: Tensor, file: Path) -> None:
    """Writes pictures (N, C, H, W) in [0, 1] as one sheet of up to 16 a row."""
    n, channels, height, width = pictures.shape
    columns = min(n, 16)
    rows = -(-n // columns)
    sheet = torch.ones(rows * columns, channels, height, width)
    sheet[:n] = pictures.float().cpu()
    sheet = sheet.view(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    pixels = (sheet.reshape(rows * height, columns * width, channels) * 255).round().byte()
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.expand(-1, -1, 3).numpy()).save(file)
