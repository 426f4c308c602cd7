"""Captions for emoji: many ways to say one picture, and paraphrases that are never said."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .emoji import Emoji

STYLE_WORDS = {
    "noto": "noto style",
    "noto-v1": "blob style",
    "fluent-flat": "flat style",
    "fluent-3d": "3d style",
    "twemoji": "twemoji style",
    "emojione": "emojione style",
    "fxemoji": "firefox style",
    "streamline": "outline style",
}
# Light colours a picture may stand on: (name, (red, green, blue)).
BACKGROUNDS = [
    ("white", (255, 255, 255)),
    ("cream", (253, 245, 222)),
    ("pink", (255, 208, 220)),
    ("orange", (255, 214, 165)),
    ("yellow", (255, 240, 160)),
    ("green", (198, 236, 196)),
    ("turquoise", (178, 234, 228)),
    ("blue", (186, 218, 255)),
    ("purple", (224, 206, 250)),
    ("grey", (216, 218, 222)),
]
COLOURS = set(
    "red orange yellow green turquoise blue purple pink brown black grey white light dark".split()
)
PLURAL = re.compile(r"(?<![suo])s$|\b(people|fries|hair|teeth|bread|rice|mail|popcorn|fire)$")


def article(words: str) -> str:
    """The words with "a" or "an" before them; as they are where that reads as plural or mass."""
    if PLURAL.search(words):
        return words
    return ("an " if re.match(r"[aeio]|u(?!ni|k|s)", words) else "a ") + words


def usable_tags(tags: Iterable[str], hidden: set[str]) -> tuple[str, ...]:
    """Tags that are words and may be said in training: none holds a hidden phrase."""
    return tuple(
        tag
        for tag in tags
        if re.search("[a-z]{2}", tag) and not any(holds(tag, phrase) for phrase in hidden)
    )


def holds(text: str, phrase: str) -> bool:
    """Whether the phrase stands in the text as whole words."""
    return phrase in text and re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None


def caption(
    rng: np.random.Generator,
    name: str,
    tags: tuple[str, ...],
    synonyms: tuple[str, ...],
    style: str,
    colour: str = "",
    background: str = "white",
) -> str:
    """One caption at random, in lower case.

    40 % name and style, 25 % name only, 15 % 2-4 tags and style, 8 % one synonym and style, 9 %
    colour word, name and style, 3 % style only; name and style where there are no such words. A
    background that is not white is always said, a white one now and then.
    """
    words, kind = STYLE_WORDS[style], rng.random()
    told = COLOURS & set(re.split(r"\W+", name))
    if kind < 0.40:
        text = f"{name}, {words}"
    elif kind < 0.65:
        text = article(name) if rng.random() < 0.3 else name
    elif kind < 0.80 and len(tags) >= 2:
        some = rng.permutation(len(tags))[: rng.integers(2, 5)]
        text = ", ".join([*(tags[i] for i in some), words])
    elif 0.80 <= kind < 0.88 and synonyms:
        text = f"{synonyms[rng.integers(len(synonyms))]}, {words}"
    elif kind < 0.97:
        text = f"{article(f'{colour} {name}' if colour and not told else name)}, {words}"
    else:
        text = words
    if background != "white" or rng.random() < 0.08:
        text += f" on {article(background)} background"
    return text


def all_captions(emoji: "Emoji", per_picture: int = 8, seed: int = 0) -> Iterator[str]:
    """Captions of every training picture, on all backgrounds in turn: what a vocabulary needs."""
    rng = np.random.default_rng(seed)
    for picture in np.flatnonzero(emoji.split == 0).tolist():
        for i in range(per_picture):
            yield emoji.caption(rng, picture, BACKGROUNDS[(picture + i) % len(BACKGROUNDS)][0])


def paraphrases() -> list[tuple[str, str]]:
    """Hand-written (phrase, concept name) for scoring concepts; no training caption holds one."""
    path = Path(__file__).parent / "emoji-paraphrases.json"
    return [(phrase, name) for phrase, name in json.loads(path.read_text(encoding="utf-8"))]


def paraphrased() -> set[str]:
    """The paraphrases without their article."""
    return {re.sub(r"^(a|an|some|the) ", "", phrase) for phrase, _ in paraphrases()}
