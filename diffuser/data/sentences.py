"""Sentences for the text encoder: to learn from, and pairs that say one thing in two ways."""

from collections.abc import Sequence

import numpy as np

from . import captions
from .captions import article
from .emoji import BACKGROUNDS, Emoji

ADJECTIVES = (
    "small little big large tiny huge happy sad angry cute funny old new young round flat tall "
    "short long thin fat soft hard bright dark shiny wet dry hot cold warm fast slow sleepy tired "
    "scary friendly strange simple beautiful pretty ugly fresh sweet golden silver wooden broken "
    "open closed empty full heavy light smiling crying sleeping flying running magic royal wild"
).split()
COLOURS = (
    "red orange yellow green turquoise blue purple pink brown black grey white gray golden"
).split()
TEMPLATES = (
    "{adj} {thing}",
    "a {adj} {thing}",
    "{a_thing}",
    "{thing}, {style}",
    "a {colour} {thing}",
    "{colour} {thing}, {style}",
    "{adj} {colour} {thing}, {style}",
    "{adj} {thing} on a {ground} background",
    "a {colour} {thing}, {style} on a {ground} background",
    "{a_thing} with {a_other}",
    "{a_thing} and {a_other}",
    "{thing} next to {a_other}, {style}",
    "{a_thing} holding {a_other}",
    "{a_thing} wearing {a_other}",
    "{a_thing} in {a_other}",
    "a {colour} {thing} and a {colour2} {other}",
    "a {colour} {thing} with {a_other}, {style}",
    "{thing}, {other}, {tag}, {style}",
    "{tag}, {tag2}, {adj}",
    "{tag}, {style}",
    "{tag} {tag2}",
    "a picture of {a_thing}",
    "a photo of a {adj} {thing}",
    "an icon of {a_thing}, {style}",
    "emoji of {a_thing}",
    "the {thing} is {colour}",
    "the {thing} is {adj} and {colour}",
    "my {adj} {thing}",
    "two {adj} {tag}s",
    "{a_thing} on the {word}",
    "{a_thing} for {word}",
    "{word} {thing}",
    "{word} {tag}, {style}",
    "a {word} {thing} on a {ground} background",
    "{adj} {word}",
    "a {colour} {word}",
    "{word} and {word2}",
    "a {word} with a {word2}",
    "the {word} of the {tag}",
    "i like the {word} {tag}",
    "{word}",
    "{word} {word2}",
    "no {tag}, only {a_other}",
    "{ground} background",
)

# Below: what only the evaluation says.
SYNONYMS = {
    "face": "expression", "smiling": "happy", "grinning": "beaming", "crying": "weeping",
    "angry": "furious", "sad": "unhappy", "sleepy": "drowsy", "person": "human", "man": "guy",
    "woman": "lady", "baby": "infant", "girl": "young lady", "boy": "young lad", "cat": "feline",
    "dog": "canine", "bird": "feathered animal", "horse": "steed", "rabbit": "hare",
    "car": "automobile", "ship": "vessel", "airplane": "aircraft", "train": "railway engine",
    "bicycle": "bike", "motorcycle": "motorbike", "house": "home", "building": "edifice",
    "shop": "store", "store": "shop", "clock": "timepiece", "cloud": "mist", "rain": "drizzle",
    "sun": "daystar", "moon": "lunar disc", "star": "starlet", "fire": "flame", "snow": "flakes",
    "flower": "blossom", "tree": "woody plant", "leaf": "foliage", "fruit": "produce",
    "bread": "loaf", "cake": "gateau", "drink": "beverage", "bottle": "flask", "glass": "goblet",
    "cup": "mug", "hat": "headwear", "shoe": "footwear", "bag": "sack", "shirt": "top",
    "dress": "gown", "ball": "sphere", "medal": "award", "trophy": "prize", "gift": "present",
    "wrapped": "packed", "book": "volume", "pencil": "crayon", "paper": "sheet", "money": "cash",
    "bag of money": "sack of cash", "key": "opener", "lock": "padlock", "hammer": "mallet",
    "knife": "blade", "gun": "weapon", "camera": "photo apparatus", "phone": "handset",
    "telephone": "phone", "computer": "pc", "television": "tv set", "light": "lamp",
    "hand": "palm", "finger": "digit", "heart": "love heart", "ring": "finger band",
    "road": "street", "mountain": "peak", "beach": "seaside", "ocean": "sea", "wave": "swell",
    "musical": "music", "note": "tone", "arrow": "pointer", "sign": "notice", "mark": "symbol",
    "broken": "shattered", "dizzy": "giddy", "hot": "boiling", "cold": "freezing",
    "pointing": "directed", "closed": "shut", "raised": "lifted", "folded": "bent",
    "small": "little", "big": "large", "large": "big", "little": "small", "grey": "ash coloured",
    "old": "aged", "young": "youthful", "fast": "quick", "shiny": "gleaming", "tiny": "very small",
    "huge": "gigantic", "scary": "frightening", "beautiful": "lovely", "funny": "comical",
    "cute": "adorable", "friendly": "kind", "strange": "odd", "round": "circular",
}  # fmt: skip
RESTYLED = {
    "noto": "as noto draws it",
    "noto-v1": "as a blob",
    "fluent-flat": "with flat colours",
    "fluent-3d": "in three dimensions",
    "twemoji": "like a twemoji",
    "emojione": "the emojione way",
    "fxemoji": "as in firefox",
    "streamline": "outlined with lines",
}
GROUNDS = ("", ", {} behind it", ", against {}", ", the backdrop is {}")


def things(emoji: Emoji) -> tuple[list[str], list[str]]:
    """What sentences speak of: the names of all concepts, and their tags of two letters or more."""
    tags = {tag.lower() for c in emoji.concepts for tag in c.tags if len(tag) > 1}
    return [c.name for c in emoji.concepts], sorted(tags)


def sentences(
    emoji: Emoji, words: Sequence[str], count: int, seed: int = 0, said: float = 0.4
) -> list[str]:
    """`count` different sentences: a share `said` of training captions, the rest from TEMPLATES.

    `words` is everyday English for the templates' {word}. None is a text of `pairs`.
    """
    rng = np.random.default_rng(seed)
    names, tags = things(emoji)
    hidden = {text for pair in pairs(emoji) for text in pair}
    spoken = [text for text in dict.fromkeys(captions.all_captions(emoji)) if text not in hidden]
    found = {spoken[i] for i in rng.permutation(len(spoken))[: int(said * count)]}
    found.update(name for name in names if name not in hidden)

    def some(of: Sequence[str]) -> str:
        return of[rng.integers(len(of))]

    styles, grounds = list(captions.STYLE_WORDS.values()), [name for name, _ in BACKGROUNDS]
    while len(found) < count:
        thing, other = (some(names if rng.random() < 0.6 else tags) for _ in range(2))
        text = some(TEMPLATES).format(
            thing=thing,
            other=other,
            a_thing=article(thing),
            a_other=article(other),
            adj=some(ADJECTIVES),
            colour=some(COLOURS),
            colour2=some(COLOURS),
            style=some(styles),
            ground=some(grounds),
            tag=some(tags),
            tag2=some(tags),
            word=some(words),
            word2=some(words),
        )
        if text not in hidden:
            found.add(text)
    return sorted(found)


def _other_words(text: str) -> str:
    return " ".join(SYNONYMS.get(word, word) for word in text.split())


def pairs(emoji: Emoji, count: int = 1000, seed: int = 1) -> list[tuple[str, str]]:
    """`count` captions, each with a paraphrase: other words, another order, other templates.

    Four captions of each of count / 4 concepts, which differ in adjective, style and background, so
    a partner is not found by its concept alone. Where there is a hand-written phrase for a concept,
    it stands for the name.
    """
    rng = np.random.default_rng(seed)
    by_hand: dict[str, list[str]] = {}
    for phrase, name in captions.paraphrases():
        by_hand.setdefault(name, []).append(phrase)
    grounds = [name for name, _ in BACKGROUNDS]
    found = []
    for i in rng.permutation(len(emoji.concepts))[: count // 4]:
        name = emoji.concepts[i].name
        adjectives, styles, places = (
            rng.choice(of, 4, replace=False) for of in (ADJECTIVES, emoji.styles, grounds)
        )
        for adjective, style, ground in zip(adjectives, styles, places, strict=True):
            phrases = by_hand.get(name)
            other = phrases[rng.integers(len(phrases))] if phrases else _other_words(name)
            behind = GROUNDS[rng.integers(len(GROUNDS))].format(ground)
            caption = f"{adjective} {name}, {captions.STYLE_WORDS[style]}"
            caption += f" on {article(ground)} background" if behind else ""
            found.append(
                (caption, f"{RESTYLED[style]}, {other}, {_other_words(adjective)}{behind}")
            )
    return found
