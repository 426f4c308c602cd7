"""Where a network runs, and in which precision: chosen here, assumed nowhere."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path

import torch


def default_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@cache
def _cpu_multiplies_bf16() -> bool:
    """Whether the processor has bf16 products (AMX or AVX-512 BF16); elsewhere fp32 is faster."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.exists() else []
    return "amx_bf16" in flags or "avx512_bf16" in flags


def fast_dtype(device: torch.device) -> torch.dtype:
    """bf16 on CUDA and on processors that multiply in it; fp32 otherwise."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    if device.type == "cpu" and _cpu_multiplies_bf16():
        return torch.bfloat16
    return torch.float32


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Mixed precision in `fast_dtype`, or nothing at all where that is fp32."""
    dtype = fast_dtype(device)
    if dtype is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch's work in this thread stays on one core; that of other threads is left as it is."""
    many = torch.get_num_threads()
    torch.set_num_threads(1)
    # The call above is meant for this thread, but threads yet to come would start with it too.
    other = threading.Thread(target=torch.set_num_threads, args=(many,))
    other.start()
    other.join()
    try:
        yield
    finally:
        torch.set_num_threads(many)
