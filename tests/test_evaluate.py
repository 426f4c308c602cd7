"""The figures of the model cards: their formulas, and that the shipped weights reproduce them."""

import json
import sys

import numpy as np
import pytest
import torch

from diffuser import (
    cards,
    evaluate,
    evaluate_ablations,
    evaluate_digits,
    evaluate_latent,
    frechet,
    measures,
    weights,
)
from diffuser.__main__ import main
from diffuser.ablations import Family
from diffuser.autoencoders import AutoEncoder
from diffuser.data import shipped_digits
from diffuser.diffusion import Diffusion
from diffuser.evaluate import EVALUATIONS
from diffuser.experiments import digit_unet
from diffuser.hierarchical import HierarchicalVAE
from diffuser.judges import Judge
from diffuser.measures import Evaluation
from diffuser.weights import WEIGHTS


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def correlated(rows, seed):
    """A random positive definite matrix, (rows, rows)."""
    root = torch.randn(rows, rows + 2, generator=generator(seed), dtype=torch.float64)
    return root @ root.T / rows


# --- formulas -------------------------------------------------------------------------------


def test_frechet_of_equal_gaussians():
    a = torch.randn(5, dtype=torch.float64), correlated(5, 1)
    assert abs(frechet.frechet_distance(a, a)) < 1e-10


def test_frechet_of_commuting_covariances():
    """Then it is |mu_a - mu_b|^2 + the sum of (s_a - s_b)^2 over the common axes."""
    axes = torch.linalg.qr(torch.randn(6, 6, generator=generator(), dtype=torch.float64)).Q
    s_a, s_b, mu_a, mu_b = torch.rand(4, 6, generator=generator(1), dtype=torch.float64)
    a, b = (mu_a, axes * s_a**2 @ axes.T), (mu_b, axes * s_b**2 @ axes.T)
    exact = (mu_a - mu_b).square().sum() + (s_a - s_b).square().sum()
    assert frechet.frechet_distance(a, b) == pytest.approx(exact.item(), abs=1e-10)


def test_frechet_of_any_gaussians():
    """tr (A B)^1/2 by the eigenvalues of the product, which need not be symmetric."""
    a = torch.randn(4, generator=generator(2), dtype=torch.float64), correlated(4, 3)
    b = torch.randn(4, generator=generator(4), dtype=torch.float64), correlated(4, 5)
    roots = torch.linalg.eigvals(a[1] @ b[1]).sqrt().real.sum()
    exact = (a[0] - b[0]).square().sum() + a[1].trace() + b[1].trace() - 2 * roots
    assert frechet.frechet_distance(a, b) == pytest.approx(exact.item(), rel=1e-9)
    assert frechet.frechet_distance(b, a) == pytest.approx(exact.item(), rel=1e-9)


def test_frechet_of_a_flat_covariance():
    """A feature that never fires must not make a root of a negative rounding error."""
    flat = torch.zeros(3, 3, dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    assert frechet.frechet_distance((zero, flat), (zero, torch.eye(3))) == pytest.approx(3)


def test_moments():
    x = torch.randn(50, 3, generator=generator())
    mean, cov = frechet.moments(x)
    assert mean.dtype == cov.dtype == torch.float64
    np.testing.assert_allclose(mean, x.double().mean(0))
    np.testing.assert_allclose(cov, np.cov(x.double().numpy(), rowvar=False))


def test_group_error():
    """Close to the spread over independent repetitions."""
    reference = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    draws = torch.randn(100, 400, 2, generator=generator()) + 0.5
    distances = [frechet.frechet_distance(frechet.moments(x), reference) for x in draws]
    errors = [frechet.group_error(x, reference) for x in draws[:40]]
    assert np.mean(errors) == pytest.approx(np.std(distances), rel=0.25)


def test_accuracy():
    logits = torch.tensor([[3.0, 1, 0], [0, 1, 0], [0, 1, 2], [5, 1, 0]])
    share, error = measures.accuracy(logits, torch.tensor([0, 1, 2, 2]))
    assert share == 0.75 and error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_diversity():
    real = torch.randn(60, 4, generator=generator())
    labels = torch.arange(60) % 3
    assert frechet.diversity(real, labels, real, labels) == pytest.approx(1)
    assert frechet.diversity(real / 2, labels, real, labels) == pytest.approx(0.5)
    assert frechet.diversity(real * 0, labels, real, labels) == 0


def test_labels_like():
    real = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)[torch.randperm(100, generator=generator())]
    assert evaluate_digits.labels_like(real, 10).bincount().tolist() == [5, 3, 2]
    assert evaluate_digits.labels_like(real, 100).bincount().tolist() == [50, 30, 20]
    assert evaluate_digits.labels_like(real, 1000).bincount().tolist() == [500, 300, 200]


def test_standard_error():
    values = torch.randn(1000, generator=generator())
    exact = values.double().numpy().std(ddof=1) / 1000**0.5
    assert measures.standard_error(values) == pytest.approx(exact)


# --- evaluations on random networks ---------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """The shipped digits in the place of the whole set, and tiny random models."""
    torch.manual_seed(0)
    unet = digit_unet().__class__.from_config(
        dict(digit_unet().config, block_out_channels=(8, 8, 8), attention_head_dim=4)
    )
    models = {
        "ae-2d": AutoEncoder(2, False, width=16),
        "vae-2d": AutoEncoder(2, width=16),
        "iwae-50d": AutoEncoder(5, width=16, importance=3),
        "hvae": HierarchicalVAE((2, 3), width=16),
        "ablations": Family(),
        "ddpm-digits": Diffusion(unet),
        "judge-digits": Judge(widths=(8, 8, 8)),
    }
    models = {key: m.eval().requires_grad_(False) for key, m in models.items()}
    for module in (evaluate, evaluate_ablations, evaluate_digits, evaluate_latent, cards):
        monkeypatch.setattr(module, "load", lambda name, **_: models[name])
    monkeypatch.setattr(
        measures, "digits", lambda split: tuple(a[:200] for a in shipped_digits(split))
    )
    return models


def test_autoencoder_terms(small):
    """The mean over draws of what `loss` gives, from the seed alone."""
    x, _ = measures.digit_pictures("test", 30)
    model = small["vae-2d"]
    terms = evaluate_latent.autoencoder_terms(model, x, draws=3, seed=7, batch=30)
    noise = generator(7)
    draws = [torch.randn(30, 2, generator=noise) for _ in range(3)]
    losses = [model.elbo(x.float() / 255, eps) for eps in draws]
    exact = torch.stack([loss["reconstruction"] for loss in losses]).mean(0)
    torch.testing.assert_close(terms["reconstruction"], exact)
    torch.testing.assert_close(terms["kl"].sum(1), losses[0]["kl"])
    again = evaluate_latent.autoencoder_terms(model, x, draws=3, seed=7, batch=30)
    assert torch.equal(terms["reconstruction"], again["reconstruction"])


def test_autoencoder_figures():
    kl = torch.tensor([[0.1, 2.0], [0.1, 4.0]])
    mean = torch.tensor([[0.01, -1.0], [0.02, 1.0]])
    terms = {"reconstruction": torch.tensor([100.0, 110.0]), "kl": kl, "mean": mean}
    figures = evaluate_latent.autoencoder_figures(terms)
    assert figures["reconstruction"] == 105
    assert figures["kl"] == pytest.approx(3.1)
    assert figures["negative_elbo"] == pytest.approx(108.1)
    assert figures["kl_per_dimension"] == [3.0, 0.1]
    assert figures["active_units"] == 1
    assert figures["errors"]["reconstruction"] == pytest.approx(5)


KEYS = {
    "ae-2d": {"reconstruction"},
    "vae-2d": {"negative_elbo", "reconstruction", "kl", "kl_per_dimension", "active_units"},
    "iwae-50d": {"negative_elbo", "nll", "nll_error", "samples", "active_units"},
    "hvae": {"negative_elbo", "kl_per_level", "nll", "samples", "accuracy_level_resampled"},
    "ablations": {"by_member"},
    "judge-digits": {"accuracy"},
    "ddpm-digits": {"accuracy", "frechet_ratio", "diversity", "guidance", "by_guidance"},
}


@pytest.mark.parametrize("name", KEYS)
def test_keys(small, monkeypatch, name):
    """What --json prints is plain JSON with these keys; --save gives a row for each example."""
    if name == "ddpm-digits":
        monkeypatch.setattr(
            evaluate_digits.evaluate_diffusion,
            "__kwdefaults__",
            {"guidances": (1.0, 2.0), "sampler": "ddim", "steps": 2},
        )
    for slow in (
        evaluate_latent.evaluate_binary_autoencoder,
        evaluate_latent.evaluate_hierarchical,
    ):
        monkeypatch.setattr(slow, "__kwdefaults__", {"samples": 4})
    found = evaluate.evaluate(name, count=40, seed=3)
    figures = json.loads(json.dumps(found.figures))
    assert KEYS[name] | {"protocol", "seed", "count", "errors", "command"} <= set(figures)
    assert figures["count"] == 40 and figures["seed"] == 3
    assert figures["command"] == f"python -m diffuser evaluate {name} --count 40 --seed 3"
    assert all(len(value) == 40 for value in found.terms.values())
    if name == "ae-2d":
        assert "kl" not in figures and "negative_elbo" not in figures
    if name == "ddpm-digits":
        assert [row["guidance"] for row in figures["by_guidance"]] == [1.0, 2.0]
        assert figures["frechet_ratio"] == min(
            row["frechet_ratio"] for row in figures["by_guidance"]
        )


def test_saved_terms_give_the_figures(small):
    found = evaluate.evaluate("vae-2d", count=50)
    kl = found.terms["kl"].sum(1).mean()
    assert found.figures["kl"] == pytest.approx(kl)
    total = found.terms["reconstruction"].mean() + kl
    assert found.figures["negative_elbo"] == pytest.approx(total, rel=1e-6)


def test_draw_digits(small):
    """A picture does not depend on the batch it is drawn in."""
    labels = torch.tensor([1, 2, 3, 4, 5])
    options = {"guidance": 2.0, "sampler": "ddpm", "steps": 3, "seed": 9}
    whole = evaluate_digits.draw_digits(small["ddpm-digits"], labels, **options)
    parts = evaluate_digits.draw_digits(small["ddpm-digits"], labels, **options, batch=2)
    assert whole.shape == (5, 1, 28, 28) and whole.dtype == torch.uint8
    assert (whole.int() - parts.int()).abs().max() <= 1


def test_unknown():
    with pytest.raises(ValueError, match="has no evaluation"):
        evaluate.evaluate("nothing")


# --- cards and the command line -------------------------------------------------------------


def test_card(small, monkeypatch, tmp_path):
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    folder = tmp_path / "vae-2d"
    folder.mkdir()
    settings = {"steps": 100, "batch": 32, "seed": 0, "training_seconds": 120}
    (folder / "experiment.json").write_text(json.dumps(settings))
    found = evaluate.evaluate("vae-2d", count=20)
    cards.card("vae-2d", found)
    text = (folder / "README.md").read_text()
    assert f"| negative elbo | {found.figures['negative_elbo']:.4g} ± " in text
    assert "python -m diffuser evaluate vae-2d --count 20" in text and "2 minutes" in text
    assert json.loads((folder / "evaluation.json").read_text()) == found.figures
    assert (folder / "samples.png").read_bytes()[:4] == b"\x89PNG"
    cards.card("vae-2d")  # from what is there
    assert (folder / "README.md").read_text() == text
    assert "## Compared" not in text


def test_card_with_a_comparison(small, monkeypatch, tmp_path):
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    folder = tmp_path / "vae-2d"
    folder.mkdir()
    settings = {"steps": 100, "batch": 32, "seed": 0, "training_seconds": 120}
    (folder / "experiment.json").write_text(json.dumps(settings))
    row = {"class": "Small", "rate": 0.0015, "images_per_second": 20.34, "steps": 110}
    row |= {"loss_error": 0.01, "above_best_error": 0.002, "x0": [0.5, 0.25], "x0_error": [0.1, 0]}
    ours = {"network": "ours", "parameters": 17, "loss": 0.7, "above_best": 0.0, **row}
    other = {"network": "other", "parameters": 12, "loss": 0.75, "above_best": 0.05, **row}
    found = {"networks": [ours, other], "bands": [[0.5, 1], [0.05, 0.5]], "command": "python x.py"}
    found |= {"minutes": 6.0, "count": 296, "batch": 64, "seed": 3, "processor": "an abacus"}
    (folder / "comparison.json").write_text(json.dumps(found))
    cards.card("vae-2d", evaluate.evaluate("vae-2d", count=20))
    text = (folder / "README.md").read_text().split("## Compared")[1].split("## Made")[0]
    table = [line.split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert {len(line) for line in table if len(line) > 1} == {10}
    assert "other | Small | 0.0015 | 12 | 20.34 | 110 | 0.750 ± 0.010 | 0.050 ± 0.002" in text
    assert "| x0 error, t 0.05 to 0.5 |" in text and "| 0.250 ± 0.000 |" in text
    for word in ("python x.py", "6 minutes", "seed (3)", "296 held-out", "an abacus"):
        assert word in text


def test_every_evaluation_has_words():
    assert set(EVALUATIONS) <= set(cards.WORDS)


def test_rows_of_nested_figures():
    figures = {
        "accuracy": 0.5,
        "errors": {"accuracy": 0.01},
        "seen": {"top1": 0.25, "top1_error": 0.02, "count": 3},
        "protocol": "-",
    }
    assert list(cards.rows(figures)) == [
        ("accuracy", "0.5 ± 0.01", "share"),
        ("seen: top1", "0.25 ± 0.02", ""),
    ]


def command(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["diffuser", *words])
    main()
    return capsys.readouterr().out


def test_command_evaluate(small, monkeypatch, capsys, tmp_path):
    terms = tmp_path / "terms.npz"
    words = ("evaluate", "vae-2d", "--json", "--count", "20", "--save", str(terms))
    figures = json.loads(command(monkeypatch, capsys, *words))
    assert figures["count"] == 20
    assert np.load(terms)["reconstruction"].shape == (20,)
    assert "negative elbo" in command(monkeypatch, capsys, *words[:2], "--count", "20")


def test_command_sample(small, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("diffuser.weights.load", lambda name: small[name])
    file = tmp_path / "sheet.png"
    words = ("--count", "4", "--label", "3", "--steps", "2", "--guidance", "2", "--seed", "5")
    out = command(monkeypatch, capsys, "sample", "ddpm-digits", "--out", str(file), *words)
    assert out.strip() == str(file)
    first = file.read_bytes()
    command(monkeypatch, capsys, "sample", "ddpm-digits", "--out", str(file), *words)
    assert file.read_bytes() == first
    command(monkeypatch, capsys, "sample", "vae-2d", "--out", str(file))
    assert file.read_bytes() != first
    with pytest.raises(SystemExit, match="draws no pictures"):
        command(monkeypatch, capsys, "sample", "judge-digits")


def test_command_says_what_is_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("diffuser.weights.WEIGHTS", tmp_path)
    weights._loaded.clear()  # another test may have loaded it
    with pytest.raises(SystemExit, match="train the model with"):
        command(monkeypatch, capsys, "sample", "ae-2d")


# --- the shipped weights --------------------------------------------------------------------


def reported(name: str) -> dict:
    file = WEIGHTS / name / "evaluation.json"
    if not file.exists():
        pytest.skip(f"{name} has not been measured yet")
    return json.loads(file.read_text())


@pytest.fixture
def shipped(monkeypatch):
    """The digits that ship: 500 test digits, equally many of each class."""
    monkeypatch.setattr(measures, "digits", shipped_digits)


@pytest.mark.parametrize("name", ["ae-2d", "vae-2d", "vae-20d"])
def test_shipped_autoencoder(shipped, name):
    """The 500 shipped test digits agree with the card's mean within 4 standard errors of theirs."""
    card = reported(name)
    x, _ = measures.digit_pictures("test")
    terms = evaluate_latent.autoencoder_terms(evaluate.load(name), x, 1)
    found = evaluate_latent.autoencoder_figures(terms)
    for key, error in found["errors"].items():
        assert abs(found[key] - card[key]) < 4 * error


def test_shipped_judge(shipped):
    """At most so many mistakes on 500 digits as 4 standard errors of a Poisson count allow."""
    card = reported("judge-digits")
    figures = evaluate.evaluate("judge-digits").figures
    expected = 500 * (1 - card["accuracy"])
    assert figures["mistakes"] <= expected + 4 * expected**0.5 + 1


def test_shipped_diffusion():
    """50 digits at the card's guidance, sampler and steps are read as often, within 4 errors."""
    card = reported("ddpm-digits")
    if not (WEIGHTS / "judge-digits").exists():
        pytest.skip("judge-digits is not there yet")
    labels = torch.arange(50) % 10
    settings = {key: card[key] for key in ("guidance", "sampler", "steps")}
    model, judge = evaluate.load("ddpm-digits"), evaluate.load("judge-digits")
    pictures = evaluate_digits.draw_digits(model, labels, **settings, seed=100_000)
    share, _ = measures.accuracy(evaluate_digits.judge_digits(judge, pictures)[1], labels)
    expected = card["accuracy"]
    assert share >= expected - 4 * (expected * (1 - expected) / 50) ** 0.5 - 0.02


def test_evaluation_is_data():
    assert Evaluation({"a": 1}).terms == {} and Evaluation({}).pictures is None
