"""Training: everything learns, stops and goes on, saves and loads; many processes are as one."""

import dataclasses
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from diffuser import batches, weights
from diffuser import train as training
from diffuser.autoencoders import AutoEncoder
from diffuser.batches import digit_batches, epochs, shift, warp
from diffuser.data import shipped_digits
from diffuser.experiments import EXPERIMENTS, Experiment
from diffuser.judges import Judge
from diffuser.train import Trainer, rate_at, save_sheet, train

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def checkpoints(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "cache_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "checkpoints"


def digits_7(labels=False, warped=False):
    """Real digits at 7 x 7 in [0, 1], shuffled as the real experiments shuffle theirs."""
    pictures, classes = (torch.from_numpy(a[:96]) for a in shipped_digits("train"))
    pictures = torch.nn.functional.avg_pool2d(pictures[:, None].float() / 255, 4)

    def batch(step, size, generator):
        index = epochs(len(pictures), step, size, seed=0)
        x = warp(pictures[index], generator, 1.0) if warped else pictures[index]
        return (x, classes[index]) if labels else (x,)

    return batch


def small(**changes) -> Experiment:
    """A variational autoencoder of such digits."""
    return dataclasses.replace(
        Experiment(
            about="",
            model=partial(AutoEncoder, 2, side=7, width=16),
            open=AutoEncoder.from_pretrained,
            data=digits_7,
            steps=12,
            batch=16,
            rise=3,
            ramp={"kl": 4},
        ),
        **changes,
    )


# --- each experiment ------------------------------------------------------------------------


def fixed_batch(name, size):
    """A few examples, the same at each step, in the shapes that the experiment's model takes."""
    generator = torch.Generator().manual_seed(0)
    pictures, labels = (torch.from_numpy(a[:size]) for a in shipped_digits("train"))
    x = pictures[:, None].float() / 255
    emoji = torch.nn.functional.interpolate(
        torch.rand(size, 3, 4, 4, generator=generator) * 2 - 1, size=64
    )
    return {
        "ablations": (x,),
        "hvae": (x.round(),),
        "iwae-50d": (x.round(),),
        "vae-50d": (x.round(),),
        "ae-2d": (x,),
        "vae-2d": (x,),
        "vae-20d": (x,),
        "ddpm-digits": (2 * x - 1, labels),
        "judge-digits": (2 * x - 1, labels),
        "judge-emoji": (emoji, labels),
        "text-to-image-vae": (emoji,),
    }[name]


COVERED = {"ae-2d", "vae-2d", "vae-20d", "ddpm-digits", "judge-digits", "judge-emoji"}
COVERED |= {"text-to-image-vae", "ablations", "hvae", "iwae-50d", "vae-50d"}
# those that stand on other weights or on a teacher, which may not be here: they have their own
# tests, in the files that mirror their modules
ELSEWHERE = {"text-to-image", "text-to-image-text"}


def test_every_experiment_is_tested():
    assert set(EXPERIMENTS) == COVERED | ELSEWHERE


@pytest.mark.parametrize("name", sorted(COVERED))
def test_experiment_learns(name, monkeypatch, tmp_path):
    """Its network and its optimiser, on a few examples in place of its data: the loss falls."""
    size, steps = (2, 10) if name == "text-to-image-vae" else (4, 16)
    batch = fixed_batch(name, size)
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path)
    shrunk = dataclasses.replace(
        EXPERIMENTS[name],
        data=lambda: lambda step, size, generator: batch,
        steps=steps,
        batch=size,
        rise=2,
        ema=0.5,
    )
    trainer = Trainer(name, shrunk, device=CPU)
    losses = [sum(record.terms.values()) for record in train(trainer)]
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])
    weights.save_weights(name, trainer.averaged(), trainer.seconds)
    opened = weights.open_weights(name).state_dict()
    for key, value in trainer.averaged().state_dict().items():
        assert torch.equal(opened[key], value.half().float()), key


# --- stopping and going on ------------------------------------------------------------------


def judge_experiment(**changes):
    return small(
        model=partial(Judge, widths=(8, 8), dropout=0.5),
        data=partial(digits_7, labels=True, warped=True),
        optimizer="muon",
        ramp={},
        **changes,
    )


@pytest.mark.parametrize(
    "experiment",
    [small(), small(optimizer="muon"), judge_experiment(), judge_experiment(pure_bf16=True)],
    ids=["adamw", "muon", "dropout", "bf16"],
)
def test_resumed_is_uninterrupted(experiment, checkpoints):
    """Noise of the loss, dropout and augmentation included, to the bit."""
    whole = Trainer("whole", experiment, device=CPU)
    records = list(train(whole))
    first = Trainer("stopped", experiment, device=CPU)
    for record in train(first):
        if record.step == 5:
            first.save(checkpoints / "stopped.pt")
        if record.step == 7:  # lost
            break
    torch.manual_seed(123)
    second = Trainer("stopped", experiment, device=CPU)
    rest = list(train(second))
    assert [r.step for r in rest] == [6, 7, 8, 9, 10, 11, 12]
    assert [r.terms for r in rest] == [r.terms for r in records[5:]]
    for ours, theirs in zip(
        whole.masters + whole.average, second.masters + second.average, strict=True
    ):
        assert torch.equal(ours, theirs)
    assert second.seconds > first.seconds / 2
    assert list(train(Trainer("stopped", experiment, device=CPU))) == [], "done is done"


def test_checkpoint_is_never_half(checkpoints, monkeypatch):
    trainer = Trainer("half", small(), device=CPU)
    trainer.advance()
    file = checkpoints / "half.pt"
    trainer.save(file)
    whole = file.read_bytes()

    def fail(state, part):
        part.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        trainer.save(file)
    assert file.read_bytes() == whole


def test_same_seed_same_run():
    first, second, other = (
        [r.terms for r in train(Trainer(n, small(seed=s, steps=3), device=CPU))]
        for n, s in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == second != other


def test_noise_is_not_the_batch_again():
    """What the model draws must not repeat what the data drew."""
    seen = []

    def batch(step, size, generator):
        seen.append(torch.rand(4, generator=generator))
        return (torch.rand(size, 1, 7, 7),)

    class Draws(AutoEncoder):
        def forward(self, x):
            seen.append(torch.rand(4))
            return super().forward(x)

    experiment = small(model=partial(Draws, 2, side=7, width=16), data=lambda: batch)
    Trainer("draws", experiment, device=CPU).advance()
    assert len(seen) == 2 and not torch.equal(*seen)


def test_broken_gradient_is_skipped():
    """One batch of infinities leaves weights and average as they are, and training goes on."""
    calls = []

    def batch(step, size, generator):
        calls.append(step)
        return (torch.full((size, 1, 7, 7), float("inf") if step == 1 else 0.5),)

    trainer = Trainer("broken", small(data=lambda: batch, steps=3), device=CPU)
    trainer.advance()
    before = [m.clone() for m in trainer.masters + trainer.average]
    trainer.advance()
    assert all(map(torch.equal, before, trainer.masters + trainer.average))
    trainer.advance()
    assert not all(map(torch.equal, before, trainer.masters + trainer.average))
    assert all(m.isfinite().all() for m in trainer.masters)


def test_start_from_given_weights():
    torch.manual_seed(5)
    start = AutoEncoder(2, side=7, width=16)
    wanted = [p.detach().clone() for p in start.parameters()]
    trainer = Trainer("start", small(), start, device=CPU)
    assert all(map(torch.equal, wanted, trainer.masters))
    averaged = trainer.averaged()
    assert all(map(torch.equal, wanted, averaged.parameters()))
    assert averaged is not start and not averaged.training


# --- pieces ---------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.4, 1.0])
def test_rate(decay):
    experiment = small(steps=100, rise=10, decay=decay)
    rates = [rate_at(step, experiment) for step in range(101)]
    assert abs(rates[100]) < 1e-12 and all(rate > 0 for rate in rates[:100])
    assert rates[0] == 0.1 and rates[4] == pytest.approx(0.5, rel=0.01)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))
    if decay == 0.4:
        assert rates[10:61] == [1.0] * 51


def test_ramp():
    trainer = Trainer("ramp", small(), device=CPU)
    shares = []
    for _ in range(6):
        shares.append((trainer._weight("kl"), trainer._weight("reconstruction")))
        trainer.advance()
    assert shares == [(0, 1), (0.25, 1), (0.5, 1), (0.75, 1), (1, 1), (1, 1)]


def test_epochs():
    """Each example once an epoch, in another order each time."""
    first = torch.cat([epochs(12, step, 4, seed=0) for step in range(3)])
    second = torch.cat([epochs(12, step, 4, seed=0) for step in range(3, 6)])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(12))
    assert first.tolist() != second.tolist()
    assert torch.equal(epochs(12, 1, 4, seed=0), first[4:8])


def test_shift_and_warp():
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(200, 1, 7, 7)
    x[:, :, 3, 3] = 1
    moved = shift(x, 2, generator)
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(200)), "one pixel stays one pixel"
    places = {tuple(p.nonzero()[0].tolist()) for p in moved[:, 0]}
    assert places == {(r, c) for r in range(1, 6) for c in range(1, 6)}
    assert torch.equal(shift(x, 0, generator), x)
    assert_close(warp(x, generator, strength=0), x, atol=1e-5, rtol=0)
    assert not torch.allclose(warp(x, generator, strength=1), x)


def test_warping_fades_with_what_was_seen(monkeypatch):
    """By one process or by two, the same digits are still bent after as many examples."""
    monkeypatch.setattr(batches, "digits", shipped_digits)
    bent, straight = digit_batches(warping=1.0, until=64), digit_batches()

    def share(step, size):
        parts = (b(step, size, torch.Generator().manual_seed(0))[0] for b in (bent, straight))
        first, second = parts
        return (first != second).flatten(1).any(1).float().mean().item()

    assert share(0, 16) == share(0, 8) == 1
    assert share(2, 16) == share(4, 8) == 0.5
    assert share(4, 16) == share(8, 8) == share(100, 16) == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_save_sheet(channels, tmp_path):
    from PIL import Image

    pictures = torch.zeros(18, channels, 4, 5)
    pictures[16] = 1
    save_sheet(pictures, tmp_path / "new" / "sheet.png")
    sheet = Image.open(tmp_path / "new" / "sheet.png")
    assert sheet.size == (16 * 5, 2 * 4)
    assert sheet.getpixel((0, 4)) == (255, 255, 255) and sheet.getpixel((0, 0)) == (0, 0, 0)
    assert sheet.getpixel((79, 7)) == (255, 255, 255), "empty places are white"


# --- two processes --------------------------------------------------------------------------


def plain() -> Experiment:
    """Without noise, so that the batch alone tells the gradient; not clipped."""
    model = partial(AutoEncoder, 2, False, side=7, width=16)
    return small(model=model, ramp={}, clip=1e9)


TWICE = """
import sys
from contextlib import nullcontext
import torch
sys.path[:0] = ["tests"]
from test_train import CPU, plain
from diffuser import train
train.autocast = lambda device: nullcontext()  # fp32, so that only the order of sums differs
trainer = train.Trainer("two", plain(), device=CPU)
assert trainer.accelerator.num_processes == 2
trainer.advance()
if trainer.accelerator.is_main_process:
    torch.save([m.grad for m in trainer.masters], sys.argv[1])
trainer.accelerator.end_training()
"""


def test_two_processes_are_as_one(tmp_path, monkeypatch):
    """The gradient of a batch of 16 is the mean over two processes with 8 of it each (gloo)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    # what `accelerate launch` sets for each process, without paying for a third
    env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": "."}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWICE, str(tmp_path / "two.pt")],
            env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    monkeypatch.setattr(training, "autocast", lambda device: nullcontext())
    one = Trainer("one", plain(), device=CPU)
    one.advance()
    try:
        for process in processes:
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    two = torch.load(tmp_path / "two.pt")
    grads = [m.grad for m in one.masters]
    assert len(two) == len(grads) > 0 and any(g.abs().max() > 0 for g in grads)
    assert_close(two, grads, rtol=1e-4, atol=1e-6)
