"""Laws of the emoji: what is held out stays out, captions are true, pictures are whole."""

import io
import json
from collections import Counter

import numpy as np
import pytest

from diffuser.data import captions, emoji, emoji_art, emoji_join
from diffuser.data.fetch import cache_dir

needs_pictures = pytest.mark.skipif(
    not (cache_dir() / "emoji.npz").exists(), reason="needs the prepared emoji.npz"
)


@pytest.fixture(scope="module")
def pictures() -> emoji.Emoji:
    return emoji.load()


def test_over_is_the_closed_form():
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (5, 8, 8, 4), dtype=np.uint8)
    colour = (255, 214, 165)
    alpha = rgba[..., 3:] / 255
    expected = np.floor(rgba[..., :3] * alpha + np.array(colour) * (1 - alpha) + 0.5 - 1e-9)
    result = emoji.over(rgba, colour)
    assert result.dtype == np.uint8 and np.abs(result - expected).max() <= 1
    assert (np.abs(result - (rgba[..., :3] * alpha + np.array(colour) * (1 - alpha))) <= 0.51).all()
    rgba[..., 3] = 0
    assert (emoji.over(rgba, colour) == colour).all()
    rgba[..., 3] = 255
    assert (emoji.over(rgba, colour) == rgba[..., :3]).all()


def test_backgrounds_are_light_and_white_is_first():
    assert emoji.BACKGROUNDS[0] == ("white", (255, 255, 255))
    assert len({name for name, _ in emoji.BACKGROUNDS}) == len(emoji.BACKGROUNDS) == 10
    assert all(min(colour) > 150 and max(colour) > 200 for _, colour in emoji.BACKGROUNDS)


def test_drawing_mixes_no_hidden_colour_into_edges():
    from PIL import Image

    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[..., 1] = 255  # transparent green
    rgba[:, :130] = (255, 0, 0, 255)  # opaque red that ends inside a cell of 4 pixels
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG")
    small = emoji_art.draw(buffer.getvalue())
    assert small.shape == (64, 64, 4)
    assert tuple(small[0, 32]) == pytest.approx((255, 0, 0, 128), abs=2)
    assert (small[..., 3][:, 40:] == 0).all()


@pytest.mark.parametrize(
    ("rgb", "word"),
    [
        ((220, 30, 40), "red"),
        ((255, 150, 20), "orange"),
        ((255, 205, 60), "yellow"),
        ((60, 170, 60), "green"),
        ((40, 110, 230), "blue"),
        ((130, 60, 200), "purple"),
        ((120, 75, 50), "brown"),
        ((250, 150, 190), "pink"),
        ((25, 25, 28), "black"),
        ((150, 150, 155), "grey"),
        ((250, 250, 250), "white"),
    ],
)
def test_colour_words(rgb, word):
    picture = np.full((64, 64, 4), (*rgb, 255), np.uint8)
    assert emoji_art.colour_word(picture) == word
    picture[:, :32, :3] = (40, 110, 230) if word != "blue" else (220, 30, 40)
    if word not in ("black", "grey", "white"):
        assert emoji_art.colour_word(picture) == ""
    picture[..., 3] = 0
    assert emoji_art.colour_word(picture) == ""


def test_duplicates_drops_copies_of_a_concept_and_within_a_style():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 64, 64, 4), dtype=np.uint8)
    images[..., 3] = 255
    images[2] = images[0]  # another concept, another style: both stay
    images[3] = images[0]  # same concept, other style
    images[4] = images[1]  # other concept, same style
    concept, style = np.array([0, 1, 2, 0, 3]), np.array([0, 0, 1, 2, 0])
    assert emoji_art.duplicates(images, concept, style).tolist() == [False] * 3 + [True] * 2


def test_select_drops_tones_flags_and_clocks():
    entries = [
        {"label": "dog", "hexcode": "1F415", "group": 3, "subgroup": 34, "tags": ["Pet", "pet"]},
        {"label": "one o’clock", "hexcode": "1F550", "group": 5, "subgroup": 58},
        {"label": "three o’clock", "hexcode": "1F552", "group": 5, "subgroup": 58},
        {"label": "flag: France", "hexcode": "1F1EB-1F1F7", "group": 9, "subgroup": 98},
        {"label": "man: red hair", "hexcode": "1F468-200D-1F9B0", "group": 1, "subgroup": 23},
        {"label": "light skin tone", "hexcode": "1F3FB", "group": 2, "subgroup": 32},
        {"label": "regional indicator A", "hexcode": "1F1E6"},
    ]
    chosen = emoji_join.select(entries)
    assert [c["name"] for c in chosen] == ["dog", "clock face"]
    assert chosen[0]["tags"] == ["pet"] and chosen[0]["hexcode"] == "1f415"


# Captions


def test_caption_shares_and_backgrounds():
    rng = np.random.default_rng(1)
    texts = [
        captions.caption(rng, "key", ("lock", "metal"), ("opener",), "noto", "yellow")
        for _ in range(20_000)
    ]
    on_white = " on a white background"
    assert sum(t.endswith(on_white) for t in texts) / 20_000 == pytest.approx(0.08, abs=0.01)
    said = Counter(t.removesuffix(on_white) for t in texts)
    share = {text: count / 20_000 for text, count in said.items()}
    assert share["key, noto style"] == pytest.approx(0.40, abs=0.015)
    assert share["key"] + share["a key"] == pytest.approx(0.25, abs=0.015)
    assert share["a yellow key, noto style"] == pytest.approx(0.09, abs=0.01)
    assert share["opener, noto style"] == pytest.approx(0.08, abs=0.01)
    assert share["noto style"] == pytest.approx(0.03, abs=0.006)
    assert all(text == text.lower() for text in said)
    for background, _ in emoji.BACKGROUNDS[1:]:
        for _ in range(50):
            text = captions.caption(rng, "key", (), (), "noto", "", background)
            assert text.endswith(f"{background} background")
    assert captions.caption(np.random.default_rng(3), "key", (), (), "noto") == captions.caption(
        np.random.default_rng(3), "key", (), (), "noto"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("apple", "an apple"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("glasses", "glasses"),
        ("octopus", "an octopus"),
        ("bus", "a bus"),
        ("wine glass", "a wine glass"),
        ("dress", "a dress"),
        ("french fries", "french fries"),
    ],
)
def test_article(words, expected):
    assert captions.article(words) == expected


def test_a_colour_is_not_said_twice():
    rng = np.random.default_rng(0)
    for _ in range(500):
        assert "red red" not in captions.caption(rng, "red heart", (), (), "noto", "red")


def test_usable_tags_hide_whole_words_only():
    tags = ("car", "racing car", "carpet", "scar", "!")
    assert captions.usable_tags(tags, {"car"}) == ("carpet", "scar")


def test_paraphrases_are_many_and_distinct():
    pairs = captions.paraphrases()
    assert len(pairs) >= 150 and len({phrase for phrase, _ in pairs}) == len(pairs)
    assert len(captions.paraphrased()) == len(pairs)
    assert all(
        phrase == phrase.lower() and name not in phrase.split(", ") for phrase, name in pairs
    )


# Hold-outs


def test_holdout_file_is_sorted_and_consistent():
    fixed = json.loads(emoji.HOLDOUT.read_text(encoding="utf-8"))
    pairs = [tuple(pair) for pair in fixed["pairs"]]
    assert fixed["concepts"] == sorted(set(fixed["concepts"]))
    assert pairs == sorted(set(pairs))
    assert fixed["scoring"] == sorted(set(fixed["scoring"])) and len(fixed["scoring"]) == 200
    assert not set(fixed["scoring"]) & set(fixed["concepts"])
    assert not {hexcode for hexcode, _ in pairs} & set(fixed["concepts"])
    assert len({hexcode for hexcode, _ in pairs}) == len(pairs)
    assert {style for _, style in pairs} == set(emoji_join.STYLES) == set(emoji.STYLE_WORDS)
    assert sum(hexcode in set(fixed["scoring"]) for hexcode, _ in pairs) >= 100


def test_draw_holdout_keeps_its_promises():
    concept, style = np.repeat(np.arange(500), 6), np.tile(np.arange(6), 500)
    held, pairs = emoji.draw_holdout(concept, style, range(100))
    assert len(held) == 15 and len(pairs) == 120 and min(held) >= 100
    assert not {c for c, _ in pairs} & set(held)
    assert sum(c < 100 for c, _ in pairs) == 54
    assert (held, pairs) == emoji.draw_holdout(concept, style, range(100))


@needs_pictures
def test_pictures_are_counted_and_unique(pictures):
    assert pictures.images.shape[1:] == (64, 64, 4) and pictures.images.dtype == np.uint8
    assert 1000 <= len(pictures.concepts) <= 1200 and len(pictures.styles) == 8
    assert len(pictures.images) > 7000
    cells = list(zip(pictures.concept.tolist(), pictures.style.tolist(), strict=True))
    assert len(set(cells)) == len(cells)
    assert len({c.name for c in pictures.concepts}) == len(pictures.concepts)
    assert (pictures.images[..., 3] > 0).any((1, 2)).all()
    one = pictures.style == 0
    assert not emoji_art.duplicates(
        pictures.images[one], pictures.concept[one], pictures.style[one]
    ).any()


@needs_pictures
def test_splits_are_disjoint_and_of_the_stated_size(pictures):
    concept, style, split = pictures.concept, pictures.style, pictures.split
    trained = set(concept[split == emoji.TRAIN].tolist())
    held = set(concept[split == emoji.HELD_OUT_CONCEPT].tolist())
    assert not trained & held
    assert set(concept[split == emoji.HELD_OUT_PAIR].tolist()) <= trained
    assert len(held) / len(pictures.concepts) == pytest.approx(0.03, abs=0.002)
    assert (split == emoji.HELD_OUT_PAIR).mean() == pytest.approx(0.04, abs=0.002)
    for c in set(concept[split == emoji.HELD_OUT_PAIR].tolist()):
        assert len(set(style[(concept == c) & (split == emoji.TRAIN)].tolist())) >= 3


@needs_pictures
def test_scoring_concepts_are_distinct_and_seen(pictures):
    scoring = pictures.scoring
    assert len(set(scoring.tolist())) == 200
    assert (np.bincount(pictures.concept)[scoring] >= 4).all()
    assert not np.isin(pictures.concept[pictures.split == emoji.HELD_OUT_CONCEPT], scoring).any()
    inside = np.isin(pictures.concept[pictures.split == emoji.HELD_OUT_PAIR], scoring)
    assert inside.sum() >= 100
    names = {pictures.concepts[i].name for i in scoring}
    assert {name for _, name in captions.paraphrases()} <= names
    for words in ("clock", "moon", "heart"):
        assert sum(name.split()[-1] == words for name in names) == 1


@needs_pictures
def test_training_captions_leak_nothing(pictures):
    said = list(captions.all_captions(pictures, per_picture=6))
    text = "\n".join(said)
    for phrase in captions.paraphrased():
        assert not captions.holds(text, phrase), phrase
    parts = {part.split(" on a")[0] for caption in said for part in caption.split(", ")}
    held = set(pictures.concept[pictures.split == emoji.HELD_OUT_CONCEPT].tolist())
    assert not parts & {pictures.concepts[c].name for c in held}
    pairs = np.flatnonzero(pictures.split == emoji.HELD_OUT_PAIR).tolist()
    exact = {caption.split(" on a")[0] for caption in said}
    assert not exact & {pictures.plain_caption(i) for i in pairs}
