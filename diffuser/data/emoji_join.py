"""Emoji art of eight freely licensed styles, joined to the names of what it shows.

Needed once, to prepare the cache; the models and the pages read only what it leaves there.
"""

import json
import re
import tarfile
import unicodedata
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from .fetch import Package, download

SIZE = 64
NAMES = Package(
    "npm",
    "emojibase-data",
    "17.0.0",
    "emojibase-data-17.0.0.tgz",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)


def _iconify(name: str, version: str, sha256: str) -> Package:
    return Package(
        "npm", f"@iconify-json/{name}", version, f"iconify-json-{name}-{version}.tgz", sha256
    )


# Licences of the art: noto, noto-v1, fxemoji Apache-2.0; fluent-* MIT; the others CC-BY-4.0.
STYLES = {
    "noto": _iconify(
        "noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"
    ),
    "noto-v1": _iconify(
        "noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"
    ),
    "fluent-flat": _iconify(
        "fluent-emoji-flat",
        "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    "fluent-3d": Package(
        "npm",
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "lobehub-fluent-emoji-3d-1.1.0.tgz",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    ),
    "twemoji": _iconify(
        "twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"
    ),
    "emojione": _iconify(
        "emojione", "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"
    ),
    "fxemoji": _iconify(
        "fxemoji", "1.2.2", "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef"
    ),
    "streamline": _iconify(
        "streamline-emojis",
        "1.2.4",
        "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc",
    ),
}

# Which of Unicode's emoji are named things that a small picture can show.
GROUPS = {
    0: "smileys",
    3: "animals",
    4: "food",
    5: "travel",
    6: "activities",
    7: "objects",
    1: "people",
    8: "symbols",
    9: "flags",
}
WHOLE_GROUPS = {0, 3, 4, 5, 6, 7}
HANDS_AND_BODY = range(16, 23)  # emojibase's subgroups of group 1
KEEP = set(
    "baby angel|Santa Claus|superhero|mage|fairy|vampire|merperson|mermaid|elf|genie|zombie|troll"
    "|hairy creature|baby|boy|girl|man|woman|old man|old woman|footprints|speaking head"
    "|bust in silhouette|prince|princess|person with crown|ninja|guard|man dancing|woman dancing"
    "|person running|person walking|person surfing|person swimming|person biking|snowboarder"
    "|skier|detective|warning|no entry|radioactive|biohazard|yin yang|peace symbol|check mark"
    "|cross mark|plus|red question mark|red exclamation mark|recycling symbol|sparkle"
    "|star of David|latin cross|star and crescent|menorah|atom symbol|eight-pointed star"
    "|fleur-de-lis|trident emblem|right arrow|left arrow|up arrow|down arrow|play button"
    "|red circle|orange circle|yellow circle|green circle|blue circle|purple circle|brown circle"
    "|black circle|white circle|red square|orange square|yellow square|green square|blue square"
    "|purple square|brown square|black large square|white large square|large orange diamond"
    "|large blue diamond|red triangle pointed up|red triangle pointed down|chequered flag"
    "|triangular flag|crossed flags|black flag|white flag|rainbow flag|pirate flag".split("|")
)
RENAME = {
    "three o'clock": "clock face",
    "black large square": "black square",
    "white large square": "white square",
    "large orange diamond": "orange diamond",
    "large blue diamond": "blue diamond",
    "hourglass done": "hourglass",
    "hourglass not done": "hourglass with flowing sand",
    "merperson": "merfolk",
    "oncoming fist": "fist",
    "red triangle pointed up": "red triangle",
}
# Looked at by eye: icons whose name misses its concept, joins by name that are wrong, and concepts
# that are left out.
JOINS = json.loads((Path(__file__).parent / "emoji-joins.json").read_text(encoding="utf-8"))
CLOCK = re.compile(r"o'clock|-thirty")


def read_package(package: Package, pattern: str) -> dict[str, bytes]:
    """The files of the package's tarball whose path matches the pattern."""
    with tarfile.open(download(package)) as archive:
        return {
            member.name.removeprefix("package/"): archive.extractfile(member).read()
            for member in archive
            if member.isfile() and fnmatch(member.name, f"package/{pattern}")
        }


def plain(hexcode: str) -> str:
    """A hexcode without variation selectors, the key that all packages agree on."""
    return "-".join(p for p in hexcode.lower().split("-") if p not in ("fe0f", "fe0e"))


def slug(label: str) -> str:
    """A label as icon packs spell it: lower-case words with hyphens."""
    label = unicodedata.normalize("NFKD", label.lower()).replace("’", "").replace("&", "and")
    return re.sub(r"[^a-z0-9]+", "-", label).strip("-")


def select(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nameable concepts: {name, tags, group, hexcode}, in Unicode's order."""
    chosen = []
    for entry in entries:
        group, label = entry.get("group"), entry["label"].replace("’", "'")
        name = RENAME.get(label, label)
        if group not in GROUPS or (CLOCK.search(name) and group == 5):
            continue
        body = group == 1 and entry["subgroup"] in HANDS_AND_BODY
        if not (group in WHOLE_GROUPS or body or label in KEEP) or label in JOINS["drop"]:
            continue
        # Raw Unicode order: skin tones are nested inside entries and so drop out by themselves.
        chosen.append(
            {
                "name": name.lower(),
                "label": entry["label"],
                "tags": sorted({tag.lower() for tag in entry.get("tags", [])}),
                "group": GROUPS[group],
                "hexcode": plain(entry["hexcode"]),
            }
        )
    return chosen


def join(concepts: list[dict[str, Any]], packs: dict[str, Any]) -> dict[str, dict[str, str]]:
    """For each style, hexcode -> icon name.

    Packs with a table of characters are joined by codepoint. The others are joined by name: the
    label, any name the first packs have for the codepoint, and Unicode's own name.
    """
    by_code = {style: icons for style, (icons, chars) in packs.items() if chars}
    names: dict[str, list[str]] = {}
    for concept in concepts:
        code = concept["hexcode"]
        found = [slug(concept["label"])]
        for style in by_code:
            icons, chars = packs[style]
            if main := chars.get(code):
                found += [main] + [a for a, v in icons["aliases"].items() if v["parent"] == main]
        if "-" not in code:
            found.append(slug(unicodedata.name(chr(int(code, 16)), "")))
        names[code] = list(dict.fromkeys(n for n in found if n))
    joined = {}
    for style, (icons, chars) in packs.items():
        known = {**{name: name for name in icons["icons"]}, **{a: a for a in icons["aliases"]}}
        numbered = {re.sub(r"-\d$", "", n): n for n in sorted(known, reverse=True)}
        squeezed = {name.replace("-", ""): name for name in known}
        table = {}
        for code, candidates in names.items():
            if chars:
                name = chars.get(code)
            else:
                hits = (
                    known.get(n) or numbered.get(n) or squeezed.get(n.replace("-", ""))
                    for n in candidates
                )
                name = JOINS["by_hand"].get(style, {}).get(code) or next(filter(None, hits), None)
            if name and [style, code] not in JOINS["wrong"]:
                table[code] = name
        joined[style] = table
    return joined


def svg(icons: dict[str, Any], name: str) -> str:
    """The SVG of one Iconify icon, fitted into a square of 2 SIZE pixels."""
    flip = False
    while name in icons.get("aliases", {}):
        flip ^= bool(icons["aliases"][name].get("hFlip"))
        name = icons["aliases"][name]["parent"]
    icon = icons["icons"][name]
    left, top, width, height = (
        icon.get(key, icons.get(key, default))
        for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    )
    body = icon["body"]
    if flip:
        body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{2 * SIZE}" height="{2 * SIZE}" viewBox="{left} {top} {width} {height}">'
        f"{body}</svg>"
    )


def sources() -> tuple[list[dict[str, Any]], list[tuple[int, int, bytes | str]]]:
    """All concepts, and (concept, style, SVG text or WebP bytes) for every picture there is."""
    concepts = select(json.loads(read_package(NAMES, "en/data.json")["en/data.json"]))
    packs: dict[str, Any] = {}
    webp: dict[str, bytes] = {}
    for style, package in STYLES.items():
        if style == "fluent-3d":
            files = read_package(package, "assets/*.webp")
            webp = {plain(Path(path).stem): data for path, data in files.items()}
            packs[style] = {"icons": {}, "aliases": {}}, {code: code for code in webp}
        else:
            files = read_package(package, "*s.json")
            icons = {"aliases": {}, **json.loads(files["icons.json"])}
            chars = json.loads(files["chars.json"])
            packs[style] = icons, {plain(code): name for code, name in chars.items()}
    pictures: list[tuple[int, int, bytes | str]] = []
    for k, (style, table) in enumerate(join(concepts, packs).items()):
        for i, concept in enumerate(concepts):
            if name := table.get(concept["hexcode"]):
                source = webp[name] if style == "fluent-3d" else svg(packs[style][0], name)
                pictures.append((i, k, source))
    return concepts, pictures
