"""Fashion-MNIST (Xiao, Rasul, Vollgraf, arXiv 1708.07747): clothes in MNIST's format."""

import gzip
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .fetch import DataError, Package, Progress, cached, download, make_cache_dir, save_arrays

PACKAGE = Package(
    "apt-get",
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)
NAMES = "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle-boot".split()


def prepare_fashion() -> Iterator[Progress]:
    """Fetch Debian's package, unpack it without installing and keep one npz."""
    yield Progress("fashion", 0, 2, f"fetching {PACKAGE.file}, 31 MB")
    path = make_cache_dir() / "fashion.npz"
    if not path.exists():
        package = download(PACKAGE)
        if shutil.which("dpkg-deb") is None:
            raise DataError("Fashion-MNIST is unpacked by dpkg-deb: use a Debian or Ubuntu machine")
        yield Progress("fashion", 1, 2, "unpacking")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["dpkg-deb", "-x", str(package), folder], check=True)
            source = Path(folder) / "usr/share/datasets/fashion-mnist"
            arrays = {}
            for split, prefix in (("train", "train"), ("test", "t10k")):
                for kind, header, shape in (("images", 16, (-1, 28, 28)), ("labels", 8, (-1,))):
                    file = source / f"{prefix}-{kind}-idx{len(shape)}-ubyte.gz"
                    data = np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, -1, header)
                    arrays[f"{split}_{kind}"] = data.reshape(shape)
        save_arrays(path, **arrays)
    yield Progress("fashion", 2, 2, str(path))


def fashion(split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST from the cache: images uint8 (N, 28, 28), labels int64 (N,)."""
    if split not in ("train", "test"):
        raise ValueError(f"split is 'train' or 'test', not {split!r}")
    with np.load(cached("fashion", "fashion.npz")) as arrays:
        return arrays[f"{split}_images"], arrays[f"{split}_labels"].astype(np.int64)
