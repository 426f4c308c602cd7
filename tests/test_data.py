"""Laws of the data: what is fetched is checked, and the digits are MNIST."""

import hashlib
import io
import os
import pickle

import numpy as np
import pytest

from diffuser import data
from diffuser.data import emoji, emoji_join, fetch
from diffuser.data.digits import ArrayUnpickler, idx_md5, read_pickle, verify
from diffuser.data.fetch import DataError, Package, cache_dir


def needs(file: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not (cache_dir() / file).exists(), reason=f"needs the prepared {file}"
    )


# Fetching


def test_altered_bytes_are_refused(tmp_path):
    file = tmp_path / "package.whl"
    file.write_bytes(b"abc")  # FIPS 180-2's example
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    fetch.check(file, sha256)
    file.write_bytes(b"abd")
    with pytest.raises(DataError, match="SHA-256"):
        fetch.check(file, sha256)


@pytest.mark.parametrize("client", ["pip", "npm", "apt-get"])
def test_download_keeps_only_what_has_the_pinned_hash(client, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFUSER_CACHE", str(tmp_path))
    package = Package(client, "thing", "1.0", "thing-1.0.tgz", "0" * 64)
    monkeypatch.setattr(
        fetch, "_run_client", lambda p, folder: (folder / p.file).write_bytes(b"something else")
    )
    with pytest.raises(DataError, match="SHA-256"):
        fetch.download(package)
    assert not list((tmp_path / "downloads").iterdir())


def test_a_missing_client_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFUSER_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch.shutil, "which", lambda program: None)
    with pytest.raises(DataError, match="Node.js"):
        fetch.download(Package("npm", "thing", "1.0", "thing-1.0.tgz", "0" * 64))
    with pytest.raises(DataError, match="Debian"):
        fetch.download(Package("apt-get", "thing", "1.0", "thing.deb", "0" * 64))


def test_a_failing_client_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFUSER_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch.sys, "executable", "/bin/false")
    with pytest.raises(DataError, match="network"):
        fetch.download(Package("pip", "thing", "1.0", "thing.whl", "0" * 64))


@pytest.mark.parametrize(
    ("loader", "name"),
    [
        (data.digits, "digits"),
        (data.fashion, "fashion"),
        (emoji.load, "emoji"),
        (data.teacher, "teacher"),
    ],
)
def test_a_loader_without_its_cache_names_the_command(loader, name, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFUSER_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=f"python -m diffuser data {name}"):
        loader()


def test_cache_dir_needs_no_home(monkeypatch):
    for variable in ("DIFFUSER_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.delenv(variable, raising=False)
    assert cache_dir().is_absolute()
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache_dir().is_absolute()


def test_replacing_leaves_nothing_half_written(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(ValueError), fetch.replacing(path) as part:
        part.write_text("half")
        raise ValueError
    assert not list(tmp_path.iterdir())
    with fetch.replacing(path) as part:
        part.write_text("whole")
    assert path.read_text() == "whole" and len(list(tmp_path.iterdir())) == 1


def test_prepare_refuses_unknown_names():
    with pytest.raises(ValueError, match="faces"):
        list(data.prepare(["faces"]))


def test_everything_fetched_is_pinned():
    packages = [*emoji_join.STYLES.values(), emoji_join.NAMES]
    assert all(len(p.sha256) == 64 and p.version in p.file for p in packages)
    assert len({p.sha256 for p in packages}) == 9


# Digits


def published(thing: object) -> bytes:
    """A pickle as MNIST's was written, with NumPy 1's name of the module."""
    return pickle.dumps(thing, protocol=3).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )


def test_unpickler_reads_arrays_and_refuses_everything_else():
    array = np.arange(6.0).reshape(2, 3)
    assert (ArrayUnpickler(io.BytesIO(published([array]))).load()[0] == array).all()
    for thing in (print, os.system, np.random.default_rng, io.BytesIO):
        with pytest.raises(pickle.UnpicklingError, match="no place"):
            ArrayUnpickler(io.BytesIO(pickle.dumps(thing))).load()


def test_read_pickle_restores_bytes_and_order():
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (n, 784)) for n in (3, 2, 4)]
    labels = [rng.integers(0, 10, n) for n in (3, 2, 4)]
    parts = tuple(((x / 256).astype(np.float32), y) for x, y in zip(pixels, labels, strict=True))
    arrays = read_pickle(io.BytesIO(published(parts)))
    train = np.concatenate(pixels[:2]).reshape(-1, 28, 28)
    assert (arrays["train_images"] == train).all() and arrays["train_images"].dtype == np.uint8
    assert (arrays["test_images"] == pixels[2].reshape(-1, 28, 28)).all()
    assert (arrays["train_labels"] == np.concatenate(labels[:2])).all()


def test_idx_md5_is_of_the_published_format():
    labels = np.array([7, 2, 1], np.uint8)
    expected = bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1])
    assert idx_md5(labels) == hashlib.md5(expected).hexdigest()
    with pytest.raises(DataError, match="MD5"):
        verify(
            {
                name: labels
                for name in ("train_images", "train_labels", "test_images", "test_labels")
            }
        )


@pytest.mark.parametrize(("split", "each"), [("train", 500), ("test", 50)])
def test_shipped_digits_are_balanced(split, each):
    images, labels = data.shipped_digits(split)
    assert images.shape == (10 * each, 28, 28) and images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [each] * 10
    assert 0.12 < images.mean() / 255 < 0.14
    assert len({image.tobytes() for image in images}) == len(images)


def test_split_is_train_or_test():
    with pytest.raises(ValueError, match="valid"):
        data.shipped_digits("valid")


@needs("digits.npz")
@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_shipped_digits_are_members_of_mnist(split, count):
    images, labels = data.digits(split)
    assert images.shape == (count, 28, 28) and labels.shape == (count,)
    known = {x.tobytes(): int(y) for x, y in zip(images, labels, strict=True)}
    for x, y in zip(*data.shipped_digits(split), strict=True):
        assert known[x.tobytes()] == y


@needs("digits.npz")
def test_cached_digits_are_mnist_to_the_byte():
    arrays = {}
    for split in ("train", "test"):
        images, labels = data.digits(split)
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images, labels.astype(np.uint8)
    verify(arrays)


@needs("fashion.npz")
def test_fashion_counts():
    for split, each in (("train", 6000), ("test", 1000)):
        images, labels = data.fashion(split)
        assert images.shape == (10 * each, 28, 28)
        assert np.bincount(labels).tolist() == [each] * 10


@needs("all-MiniLM-L6-v2")
def test_teacher_folder_is_what_transformers_opens():
    files = {path.name for path in data.teacher().iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= files
