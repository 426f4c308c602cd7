"""The README says what is so: its table is what the cards say, its front matter what is pinned."""

import re
from pathlib import Path

from diffuser import cards, names
from diffuser.weights import WEIGHTS

ROOT = WEIGHTS.parent
README = (ROOT / "README.md").read_text()
TOP = {"app.py", "diffuser", "weights", "tests", "requirements.txt", "README.md", "LICENSE"}


def test_table_of_models():
    assert cards.table() in README


def test_every_model_ships():
    folders = {path.name for path in WEIGHTS.iterdir() if path.is_dir()}
    assert set(names()) == folders - {"digits"}


def test_top_level_is_as_promised():
    own = {path.name for path in ROOT.iterdir() if not path.name.startswith((".", "__"))}
    assert own == TOP


def test_front_matter_names_the_pinned_gradio():
    wanted = re.search(r"^sdk_version: (.+)$", README, re.M)[1]
    pinned = re.search(r"^gradio~=(.+)$", (ROOT / "requirements.txt").read_text(), re.M)[1]
    assert wanted == pinned
    assert re.search(r"^app_file: app.py$", README, re.M) and (ROOT / "app.py").exists()


def test_pictures_and_files_it_names_are_there():
    linked = re.findall(r"\]\((weights/[^)]+)\)", README)
    assert linked and all((ROOT / path).exists() for path in linked)
    tree = README.split("## The code")[1].split("```")[1]
    modules = {name for name in re.findall(r"\b\w+\.py\b", tree) if name != "app.py"}
    there = {path.name for path in Path(ROOT / "diffuser").glob("*.py")}
    assert modules == there
