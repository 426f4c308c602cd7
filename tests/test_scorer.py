"""Laws of the scorer and of the protocol by which pictures drawn from words are judged."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from diffuser import evaluate_text
from diffuser.data import captions, emoji
from diffuser.data.fetch import cache_dir
from diffuser.evaluate_text import (
    draw,
    evaluate_text_to_image,
    hits,
    judge_scores,
    nearest,
    on_white,
    retrieval,
    seen_pairs,
)
from diffuser.judges import Judge
from diffuser.samplers import Step

FOLDER = Path(evaluate_text.__file__).parents[1] / "weights" / "judge-emoji"
needs_weights = pytest.mark.skipif(not FOLDER.exists(), reason="needs the trained judge")
needs_emoji = pytest.mark.skipif(
    not (cache_dir() / "emoji.npz").exists(), reason="needs the prepared emoji.npz"
)


class ColourJudge:
    """Knows 27 colours: class 9 r + 3 g + b, with r, g, b in 0, 1, 2; features are the mean."""

    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 3)

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean((2, 3))
        return mean, -torch.cdist(mean, self.corners)


class Painter:
    """Draws the colour that it is told of; `wrong` prompts are drawn white."""

    def __init__(self, colours: dict[str, Tensor], wrong: set[str] = frozenset()):
        self.colours, self.wrong, self.calls = colours, wrong, []

    def sample(self, prompts, *, seed, **settings):
        self.calls.append((len(prompts), seed, settings))
        x = torch.stack(
            [self.colours[p] if p not in self.wrong else torch.ones(3) for p in prompts]
        )
        yield Step(torch.ones(()), torch.zeros(len(x), 3), x, x)
        yield Step(torch.zeros(()), x, x, x)

    def decode(self, latents: Tensor) -> Tensor:
        return (latents[:, :, None, None].expand(-1, -1, 64, 64) + 1) / 2


@pytest.fixture
def data(monkeypatch) -> emoji.Emoji:
    """26 plain colours in three styles, of which the last is a little paler; 20 are scored."""
    concept, style = np.repeat(np.arange(26), 3), np.tile(np.arange(3), 26)
    images = np.full((78, 64, 64, 4), 255, np.uint8)
    rgb = ((ColourJudge.corners + 1) * 127.5).round().byte().numpy()
    images[..., :3] = rgb[concept][:, None, None]
    images[style == 2, ..., :3] //= 8
    images[style == 2, ..., :3] += rgb[concept[style == 2]][:, None, None] // 8 * 7
    split = np.where((style == 2) & (concept % 2 == 0), 1, 0)
    concepts = [emoji.Concept(f"colour {i}", (), "symbols", f"{i:x}") for i in range(26)]
    made = emoji.Emoji(
        images,
        concept,
        style,
        np.full(78, ""),
        split,
        concepts,
        ["noto", "noto-v1", "fluent-flat"],
        np.arange(20),
    )
    monkeypatch.setattr(emoji, "load", lambda: made)
    phrases = [(f"shade {i}", f"colour {i}") for i in range(20)]
    monkeypatch.setattr(captions, "paraphrases", lambda: phrases)
    return made


def painter(data: emoji.Emoji, wrong: set[str] = frozenset()) -> Painter:
    corners = ColourJudge.corners
    colours = {data.plain_caption(i): corners[c] for i, c in enumerate(data.concept)}
    return Painter(colours | {f"shade {i}": corners[i] for i in range(20)}, wrong)


def test_hits_on_a_hand_made_example():
    logits = torch.tensor(
        [
            # classes 0-4 are asked about, 5 and 6 are not
            [9.0, 1, 2, 3, 4, 99, 99],  # 0 wanted: first
            [5.0, 1, 2, 3, 4, 99, 99],  # 1 wanted: last of five
            [0.0, 1, 2, 3, 4, 99, 99],  # 3 wanted: second
            [0.0, 1, 2, 3, 4, 99, 99],  # 4 wanted: first
        ]
    )
    wanted, among = torch.tensor([0, 1, 3, 4]), torch.arange(5)
    found = hits(logits, wanted, among)
    assert found["top1"] == 0.5 and found["top1_error"] == 0.25
    assert found["top5"] == 1 and found["top5_error"] == 0
    found = hits(logits, wanted, torch.arange(7))
    assert found["top1"] == 0 and found["top5"] == 0.75


def test_retrieval_asks_only_about_the_listed_classes():
    colours = ColourJudge.corners
    pictures = (0.6 * colours)[:, :, None, None].expand(-1, -1, 8, 8)
    found = retrieval(ColourJudge(), pictures, torch.arange(27), torch.arange(27))
    assert found["top1"] == 1
    few = torch.tensor([0, 26])
    assert retrieval(ColourJudge(), pictures[few], few, few)["top1"] == 1


def test_nearest_and_its_ratio():
    real = torch.tensor([[0.0, 0.0], [4.0, 0.0], [100.0, 0.0]])
    index, ratio = nearest(torch.tensor([[1.0, 0.0], [4.0, 0.0], [2.0, 0.0]]), real)
    assert index[:2].tolist() == [0, 1]
    torch.testing.assert_close(ratio, torch.tensor([1 / 3, 0.0, 1.0]))


def test_pictures_are_drawn_in_order_each_with_its_seed():
    prompts = [f"p{i}" for i in range(27)]
    model = Painter(dict(zip(prompts, ColourJudge.corners, strict=True)))
    x = draw(model, prompts, guidance=3.0, steps=2, sampler="ddim", seed=5, batch=10)
    torch.testing.assert_close(x.mean((2, 3)), ColourJudge.corners)
    settings = {"guidance": 3.0, "steps": 2, "sampler": "ddim"}
    assert model.calls == [(10, 5, settings), (10, 15, settings), (7, 25, settings)]


def test_a_perfect_painter_scores_like_the_real_pictures(data):
    result = evaluate_text_to_image(painter(data), ColourJudge(), steps=2, per_concept=None)
    seen, held, phrases = result["seen"], result["held_out_pairs"], result["paraphrases"]
    assert result["retrieval_top1"] == seen["retrieval_top1"] == seen["real_top1"] == 1
    assert seen["share_top1"] == held["share_top1"] == phrases["retrieval_top5"] == 1
    assert (seen["count"], held["count"], phrases["count"]) == (50, 10, 20)
    assert result["steps"] == 2 and result["seed"] == 0


def test_what_is_drawn_wrong_is_counted(data):
    held = np.flatnonzero((data.split == 1) & (data.concept < 20))
    wrong = {data.plain_caption(int(i)) for i in held[:3]} | {"shade 7"}
    result = evaluate_text_to_image(painter(data, wrong), ColourJudge(), per_concept=1)
    assert result["seen"]["count"] == 20 and result["retrieval_top1"] == 1
    assert result["held_out_pairs"]["retrieval_top1"] == pytest.approx(0.7)
    assert result["held_out_pairs"]["share_top1"] == pytest.approx(0.7)
    assert result["held_out_pairs"]["retrieval_top1_error"] == pytest.approx((0.021) ** 0.5)
    assert result["paraphrases"]["retrieval_top1"] == pytest.approx(0.95)


def test_seen_pairs_are_training_pictures_of_scoring_concepts(data):
    assert evaluate_text_to_image(painter(data), ColourJudge(), count=7)["count"] == 7
    for per_concept, count in ((1, 20), (2, 40), (None, 50)):
        index = seen_pairs(data, per_concept, seed=3)
        assert len(set(index.tolist())) == count
        assert (data.split[index] == 0).all() and (data.concept[index] < 20).all()
        assert (index == seen_pairs(data, per_concept, seed=3)).all()
    assert (seen_pairs(data, 1, seed=3) != seen_pairs(data, 1, seed=4)).any()


def test_the_judges_own_score_is_of_pictures_it_has_not_seen(data):
    result, wrong = judge_scores(ColourJudge())
    assert (result["count"], result["among_all"]["count"]) == (10, 13)
    assert (result["classes"], result["among_all"]["classes"]) == (20, 26)
    assert result["retrieval_top1"] == 1 and wrong.shape == (0, 3, 64, 64)
    data.images[data.split == 1] = 255  # white, which is none of the concepts
    result, wrong = judge_scores(ColourJudge(), count=4)
    assert result["count"] == 4 and result["retrieval_top1"] == 0
    assert wrong.shape == (4, 3, 64, 64) and (wrong == 1).all()


def test_on_white():
    rgba = np.zeros((1, 2, 2, 4), np.uint8)
    rgba[0, 0, 0] = (255, 0, 0, 255)
    x = on_white(rgba)
    assert x.shape == (1, 3, 2, 2) and x.dtype == torch.float32
    assert x[0, :, 0, 0].tolist() == [1, -1, -1] and (x[0, :, 1] == 1).all()


def test_a_judge_with_a_stem_reads_larger_pictures():
    torch.manual_seed(0)
    judge = Judge(3, 7, widths=(8, 16), stem=8).eval()
    x = torch.randn(2, 3, 64, 64)
    features, logits = judge.judge(x)
    assert features.shape == (2, 16) and logits.shape == (2, 7)
    torch.testing.assert_close(judge.judge(x[1:])[1], logits[1:], atol=1e-5, rtol=1e-4)
    places = judge.features.stages(x).shape[-2:]
    assert places == (8, 8)  # the stem leaves 16, one pool 8


@needs_emoji
def test_training_pictures_are_a_function_of_the_generator():
    from diffuser.batches import judged_emoji_batches

    batch, real = judged_emoji_batches(), emoji.load()
    x, label = batch(3, 16, torch.Generator().manual_seed(1))
    y, same = batch(3, 16, torch.Generator().manual_seed(1))
    assert torch.equal(x, y) and torch.equal(label, same)
    assert x.shape == (16, 3, 64, 64) and x.min() >= -1 and x.max() <= 1
    assert not torch.equal(x, batch(3, 16, torch.Generator().manual_seed(2))[0])
    assert set(label.tolist()) <= set(real.concept[real.split == emoji.TRAIN].tolist())


@needs_weights
def test_size_of_the_shipped_judge():
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) <= 4_000_000


@needs_weights
@needs_emoji
def test_the_card_of_the_shipped_judge_tells_the_truth():
    found, _ = judge_scores(Judge.from_pretrained(FOLDER).float().eval())
    card = json.loads((FOLDER / "evaluation.json").read_text())
    for ours, told in ((found, card), (found["among_all"], card["among_all"])):
        for key in ("retrieval_top1", "retrieval_top5"):
            assert ours[key] == pytest.approx(told[key], abs=0.008)
