"""Where a run happens and what makes it the same bits each time: seed, threads, deterministic kernels."""

from __future__ import annotations

import resource
from typing import Any

import torch


def reproducible(seed: int, threads: int) -> torch.device:
    """Seed torch, fix the number of threads, and return the device to run on (a GPU where there is one).

    On a CPU every operation is deterministic. On a GPU torch has no deterministic backward of bilinear interpolation,
    so runs there agree closely but not to the bit.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.use_deterministic_algorithms(device.type == "cpu")
    # torch would also fill new memory, a guard against reading it that costs a tenth of a small network's step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return device


def name() -> str:
    """The kind of device that this machine has: the GPU's name, or `cpu`."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def memory_format(channels_last: bool) -> torch.memory_format:
    """How feature maps lie in memory; the values are the same, the bits of a convolution need not be."""
    return torch.channels_last if channels_last else torch.contiguous_format


def measured(device: torch.device, images_per_second: float) -> dict[str, Any]:
    """What a run cost, for its provenance: device, images/s, peak memory in MiB (of the GPU, or of the process)."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"device": name(), "images_per_second": round(images_per_second, 2), "peak_memory_mb": round(peak)}
