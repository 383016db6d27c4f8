"""In which precision the products of hidden layers are made."""

import time
from functools import cache

import torch

from her_robot.policy.config import NetworkConfig

_PROBE_SIZE = 256
_PROBE_REPEATS = 20
_WORTHWHILE = 1.5
"""bfloat16 is taken where it makes a product this many times as fast."""


def product_dtype(config: NetworkConfig, device: torch.device) -> torch.dtype:
    """The type that `config.precision` asks for; `auto` is bfloat16 where this machine gains by it."""
    if config.precision == "auto":
        return torch.bfloat16 if _gains_by_bfloat16(device.type) else torch.float32
    return getattr(torch, config.precision)


@cache
def _gains_by_bfloat16(device: str) -> bool:
    """Whether products in bfloat16 are faster by far: with AMX or tensor cores. Measured, in a few milliseconds."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    seconds = {dtype: _probe(dtype) for dtype in (torch.float32, torch.bfloat16)}
    return seconds[torch.float32] > _WORTHWHILE * seconds[torch.bfloat16]


def _probe(dtype: torch.dtype) -> float:
    matrix = torch.ones(_PROBE_SIZE, _PROBE_SIZE, dtype=dtype)
    torch.mm(matrix, matrix)
    best = float("inf")
    for _ in range(_PROBE_REPEATS):
        begun = time.perf_counter()
        torch.mm(matrix, matrix)
        best = min(best, time.perf_counter() - begun)
    return best
