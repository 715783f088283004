"""Seconds, peak memory and rates, on a CPU or a GPU, for the programs beside this one."""

from __future__ import annotations

import gc
import resource
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch


class Rates(NamedTuple):
    """What the device was measured to do."""

    flops: dict[torch.dtype, float]
    """Operations a second of matrix products."""
    tf32: float
    """Likewise of float32 numbers that are rounded to TF32 on their way, where the device can do that."""
    copied: float
    """Bytes a second, read and written."""


class Peak:
    """The most memory beyond what was held before, on the GPU and in RAM, in GB; RAM is looked at every 10 ms."""

    gpu = ram = 0.0

    def __init__(self, device: torch.device):
        self.device, self.done = device, threading.Event()

    def __enter__(self) -> Peak:
        release(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.held = torch.cuda.memory_allocated(self.device)
        self.thread = threading.Thread(target=self._watch, args=(_resident(),), daemon=True)
        self.thread.start()
        return self

    def _watch(self, held: int) -> None:
        while not self.done.wait(0.01):
            self.ram = max(self.ram, (_resident() - held) / 1e9)

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        self.thread.join()
        if self.device.type == "cuda":
            self.gpu = (torch.cuda.max_memory_allocated(self.device) - self.held) / 1e9


def release(device: torch.device) -> None:
    """Give back what nobody holds."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def clock(device: torch.device) -> Callable[[], float]:
    """Tells the seconds since it was last asked, once the device has done all that it was given."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    def lap() -> float:
        nonlocal last
        before, last = last, now()
        return last - before

    last = now()
    return lap


def seconds(device: torch.device, call: Callable[[], object], count: int = 5) -> float:
    """Seconds of one call, the median of `count` after a first one."""
    call()
    lap = clock(device)
    return statistics.median((call(), lap())[1] for _ in range(count))


def measured_rates(device: torch.device) -> Rates:
    """What products in each dtype, and copies, reach here."""
    side, size = (8192, 1 << 30) if device.type == "cuda" else (128, 1 << 22)

    def products(dtype: torch.dtype) -> float:
        square = torch.randn(side, side, device=device).to(dtype)
        return 2 * side**3 / seconds(device, lambda: square @ square)

    flops = {dtype: products(dtype) for dtype in (torch.float32, torch.bfloat16, torch.float16)}
    precision = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    tf32 = products(torch.float32)
    torch.backends.cuda.matmul.fp32_precision = precision
    source, target = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    return Rates(flops, tf32, 2 * size / seconds(device, lambda: target.copy_(source)))
