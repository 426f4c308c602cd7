"""Diffusion models: guidance, labels, learning, and that stock diffusers draws the same picture."""

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch.testing import assert_close

from diffuser.data import shipped_digits
from diffuser.diffusion import Diffusion, guided, stratified_times
from diffuser.gaussian import mix, target
from diffuser.weights import WEIGHTS, load


def tiny(kind="v", schedule="linear", side=8) -> Diffusion:
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=side,
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=4,
        num_class_embeds=11,
    )
    return Diffusion(unet, schedule, kind).eval()


def noise(n, seed=0, side=8):
    return torch.randn(n, 1, side, side, generator=torch.Generator().manual_seed(seed))


def test_guided():
    cond, uncond = torch.tensor(3.0), torch.tensor(1.0)
    assert [guided(cond, uncond, w).item() for w in (0.0, 1.0, 2.0)] == [1.0, 3.0, 5.0]


@torch.no_grad()
def test_guidance_of_the_denoiser():
    """u + w (c - u) of what the network says, and so of x0 and of eps."""
    model, x, t = tiny(), noise(3), torch.tensor(0.6)
    label = torch.tensor([1, 2, 3])
    none = torch.full((3,), model.no_label)
    cond, uncond = model.denoise(x, t, label), model.denoise(x, t, none)
    assert not torch.allclose(cond[0], uncond[0])
    for w in (0.0, 1.0, 2.5):
        pair = model.denoise(x, t, label, w)
        for found, c, u in zip(pair, cond, uncond, strict=True):
            assert_close(found, u + w * (c - u), rtol=1e-4, atol=1e-4)
    assert_close(model.denoise(x, t, None, 3.0), uncond)


@torch.no_grad()
def test_denoise_gives_a_pair():
    """alpha x0 + sigma eps = x, at one time for all and at a time for each."""
    model, x = tiny(), noise(4)
    label = torch.tensor([0, 1, 2, 3])
    for t in (torch.tensor(0.3), torch.tensor([0.1, 0.4, 0.7, 1.0])):
        x0, eps = model.denoise(x, t, label, 2.0)
        assert_close(mix(x0, eps, *model.schedule(t)), x, rtol=1e-4, atol=1e-4)
    x0, eps = model.denoise(x, t, label)
    for i in range(4):
        one = model.denoise(x[i : i + 1], t[i], label[i : i + 1])
        assert_close(one[0][0], x0[i], rtol=1e-4, atol=1e-4)


def test_simple_loss():
    """Of a network that answers 0: the mean square of the target, each example by itself."""
    model, x = tiny("eps"), noise(5)
    for p in model.unet.conv_out.parameters():
        torch.nn.init.zeros_(p)
    torch.manual_seed(7)
    loss = model.loss(x, torch.zeros(5, dtype=torch.long))["simple"]
    torch.manual_seed(7)
    t = stratified_times(5, x.device)
    eps = torch.randn_like(x)
    expected = target("eps", x, eps, *model.schedule(t)).square().flatten(1).mean(1)
    assert loss.shape == (5,)
    assert_close(loss, expected)


def test_labels_are_dropped():
    """drop_label = 1 trains "no label" alone."""
    model, x = tiny(), noise(4)
    label = torch.tensor([1, 2, 3, 4])
    results = []
    for drop, given in ((1.0, label), (1.0, label + 1), (0.0, label), (0.0, label + 1)):
        model.drop_label = drop
        torch.manual_seed(0)
        results.append(model.loss(x, given)["simple"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[2], results[3])


def test_stratified_times():
    for n in (1, 7, 64):
        t = stratified_times(n, torch.device("cpu"))
        assert (t > 0).all() and (t <= 1).all()
        assert ((t.sort().values * n).ceil() - torch.arange(1, n + 1)).abs().max() <= 1
        assert t.sort().values.diff().sub(1 / n).abs().max() < 1e-5 if n > 1 else True


def test_sample():
    model = tiny()
    steps = list(model.sample(3, 4, guidance=2.0, sampler="ddim", steps=5, seed=11))
    assert len(steps) == 6 and [s.x.shape for s in steps] == [(3, 1, 8, 8)] * 6
    assert_close(steps[-1].x, steps[-1].x0)
    same = {"guidance": 2.0, "sampler": "ddim", "steps": 5}
    *_, listed = model.sample(3, [4, 4, 4], seed=11, **same)
    assert torch.equal(listed.x, steps[-1].x)
    *_, alone = model.sample(1, 4, seed=13, **same)
    assert_close(alone.x[0], steps[-1].x[2], rtol=1e-4, atol=1e-4)
    *_, given = model.sample(3, 4, noise=steps[0].x, **same)
    assert torch.equal(given.x, steps[-1].x)
    *_, other = model.sample(3, 5, seed=11, **same)
    assert not torch.allclose(other.x, steps[-1].x)
    *_, free = model.sample(3, seed=11, steps=5)
    assert free.x.shape == (3, 1, 8, 8)
    with pytest.raises(ValueError, match="sampler is one of"):
        next(model.sample(1, sampler="euler"))


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_learns(kind):
    """A tiny network, 20 steps on real digits at 7 x 7: the loss falls."""
    pictures, labels = shipped_digits("train")
    x = torch.from_numpy(pictures[:64])[:, None].float() / 127.5 - 1
    x, label = torch.nn.functional.avg_pool2d(x, 4), torch.from_numpy(labels[:64])
    x = torch.nn.functional.pad(x, (0, 1, 0, 1), value=-1)
    model = tiny(kind).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for step in range(20):
        torch.manual_seed(step % 5)
        loss = model.loss(x, label)["simple"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@pytest.mark.parametrize("kind", ["eps", "v"])
@pytest.mark.parametrize("schedule", ["linear", "scaled-linear"])
def test_saves_and_loads(kind, schedule, tmp_path):
    model = tiny(kind, schedule)
    model.save_pretrained(tmp_path)
    again = Diffusion.from_pretrained(tmp_path).eval()
    assert (again.schedule_name, again.kind) == (schedule, kind)
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    *_, ours = model.sample(2, 1, steps=3)
    *_, theirs = again.sample(2, 1, steps=3)
    assert torch.equal(ours.x, theirs.x)


@torch.no_grad()
def stock_picture(folder, start, label, steps, guidance):
    """What a reader of diffusers' documentation would write."""
    unet = UNet2DModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(steps)
    none = torch.full_like(label, unet.config.num_class_embeds - 1)
    x = start
    for i in scheduler.timesteps:
        cond, uncond = unet(x, i, label).sample, unet(x, i, none).sample
        x = scheduler.step(uncond + guidance * (cond - uncond), i, x).prev_sample
    return x


def psnr(a, b):
    """In dB, for pictures in [-1, 1]."""
    return -10 * ((a - b) / 2).square().mean().log10().item()


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_stock_diffusers_draws_the_same(kind, tmp_path):
    model, start, label = tiny(kind), noise(2), torch.tensor([3, 7])
    model.save_pretrained(tmp_path)
    *_, ours = model.sample(2, label.tolist(), guidance=1.5, steps=10, noise=start)
    assert psnr(ours.x, stock_picture(tmp_path, start, label, 10, 1.5)) > 40


def test_stock_diffusers_draws_the_shipped_digits():
    if not (WEIGHTS / "ddpm-digits").exists():
        pytest.skip("ddpm-digits is not there yet")
    model, start, label = load("ddpm-digits", device="cpu"), noise(4, side=28), torch.arange(4)
    *_, ours = model.sample(4, label.tolist(), guidance=2.0, steps=10, noise=start)
    assert psnr(ours.x, stock_picture(WEIGHTS / "ddpm-digits", start, label, 10, 2.0)) > 40
