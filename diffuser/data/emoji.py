"""Emoji in eight styles, each with words that tell what it shows: the text-to-image data."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import captions
from .captions import BACKGROUNDS, STYLE_WORDS
from .fetch import cached

__all__ = ["BACKGROUNDS", "STYLE_WORDS", "Concept", "Emoji", "draw_holdout", "load", "over"]
HOLDOUT = Path(__file__).parent / "emoji-holdout.json"
TRAIN, HELD_OUT_PAIR, HELD_OUT_CONCEPT = 0, 1, 2


@dataclass(frozen=True)
class Concept:
    """One thing with a name, such as "red apple"; hexcode: its Unicode codepoints.

    tags: words that go with it. synonyms: those that at most 4 concepts share and that name no
    other concept, so that one alone tells what is shown.
    """

    name: str
    tags: tuple[str, ...]
    group: str
    hexcode: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Emoji:
    """P pictures of concepts in styles.

    images: uint8 (P, 64, 64, 4), RGBA, not premultiplied. concept, style: int64 (P,), indices into
    `concepts` and `styles`. colour: str (P,), the measured colour word or "". split: int64 (P,), 0
    train, 1 held-out (concept, style) pair, 2 held-out concept. scoring: the 200 concepts, as
    indices, that retrieval is scored among; a person tells them apart at a glance.
    """

    images: np.ndarray
    concept: np.ndarray
    style: np.ndarray
    colour: np.ndarray
    split: np.ndarray
    concepts: list[Concept]
    styles: list[str]
    scoring: np.ndarray

    def caption(self, rng: np.random.Generator, picture: int, background: str = "white") -> str:
        """A caption drawn at random for one picture on a background of that name."""
        concept = self.concepts[self.concept[picture]]
        style, colour = self.styles[self.style[picture]], str(self.colour[picture])
        return captions.caption(
            rng, concept.name, concept.tags, concept.synonyms, style, colour, background
        )

    def plain_caption(self, picture: int) -> str:
        """The fixed caption "name, style words", for scoring."""
        name = self.concepts[self.concept[picture]].name
        return f"{name}, {STYLE_WORDS[self.styles[self.style[picture]]]}"


def over(rgba: np.ndarray, colour: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Pictures on a background: uint8 (..., 4) to uint8 (..., 3), a c + (1 - a) colour, rounded."""
    alpha = rgba[..., 3:].astype(np.uint32)
    ground = np.array(colour, np.uint32)
    return ((rgba[..., :3] * alpha + ground * (255 - alpha) + 127) // 255).astype(np.uint8)


def load() -> Emoji:
    """All pictures from the cache, with the fixed hold-outs; about a second."""
    with np.load(cached("emoji", "emoji.npz")) as arrays:
        images, colour = arrays["images"], arrays["colour"]
        concept, style = arrays["concept"].astype(np.int64), arrays["style"].astype(np.int64)
        entries, styles = json.loads(str(arrays["concepts"])), [str(s) for s in arrays["styles"]]
    fixed = json.loads(HOLDOUT.read_text(encoding="utf-8"))
    hidden = captions.paraphrased() | {
        e["name"] for e in entries if e["hexcode"] in set(fixed["concepts"])
    }
    tags = [captions.usable_tags(e["tags"], hidden) for e in entries]
    shared = Counter(tag for some in tags for tag in some)
    vague = {tag for tag, count in shared.items() if count > 4} | {e["name"] for e in entries}
    concepts = [
        Concept(e["name"], some, e["group"], e["hexcode"], tuple(t for t in some if t not in vague))
        for e, some in zip(entries, tags, strict=True)
    ]
    number = {c.hexcode: i for i, c in enumerate(concepts)}
    pairs = {(number[h], styles.index(s)) for h, s in fixed["pairs"] if h in number}
    held = np.isin(concept, [number[h] for h in fixed["concepts"] if h in number])
    in_pairs = [(c, s) in pairs for c, s in zip(concept.tolist(), style.tolist(), strict=True)]
    split = np.where(held, HELD_OUT_CONCEPT, np.where(in_pairs, HELD_OUT_PAIR, TRAIN))
    scoring = np.array([number[h] for h in fixed["scoring"]], np.int64)
    return Emoji(images, concept, style, colour, split, concepts, styles, scoring)


def draw_holdout(
    concept: np.ndarray,
    style: np.ndarray,
    scoring: Iterable[int],
    seed: int = 0,
    concepts_share: float = 0.03,
    pairs_share: float = 0.04,
) -> tuple[list[int], list[tuple[int, int]]]:
    """How the hold-outs in `emoji-holdout.json` were drawn, once: concepts, and (concept, style).

    Held-out concepts lie outside `scoring` and have at least 4 styles. Of each concept at most one
    style is held out, of those with at least 4; 45 % of the pairs fall among the scoring concepts.
    """
    rng = np.random.default_rng(seed)
    count = np.bincount(concept)
    scoring = set(scoring)
    free = [c for c in np.flatnonzero(count >= 4).tolist() if c not in scoring]
    total = round(concepts_share * (count > 0).sum())
    held = sorted(rng.choice(free, total, replace=False).tolist())
    total = round(pairs_share * len(concept))
    inside = round(0.45 * total)
    outside = rng.choice(sorted(set(free) - set(held)), total - inside, replace=False)
    chosen = np.concatenate([rng.choice(sorted(scoring), inside, replace=False), outside])
    pairs = [(int(c), int(rng.choice(style[concept == c]))) for c in chosen]
    return held, sorted(pairs)
