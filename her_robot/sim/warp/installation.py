"""Whether MuJoCo Warp can run here, said before anything else is done."""

import importlib.metadata
from typing import Any

import torch

from her_robot.errors import BackendError

FIRST_USE = "MuJoCo Warp compiles its kernels when they are first used; that takes minutes, once"
"""Told before it is used."""
_PACKAGE = "mujoco-warp"
_OLDEST_DRIVER = (12, 0)
"""CUDA version that the driver must support for Warp's kernels."""


def check_installation(device: str) -> None:
    """Refuse a device that the simulation cannot run on.

    Args:
        device: cpu or cuda, with or without an index.

    Raises:
        BackendError: says what is missing, and how it is installed.
    """
    _check_versions()
    import warp

    # Before anything initialises it: it would print its version, devices and every kernel.
    warp.config.log_level = warp.LOG_ERROR
    if not device.startswith("cuda"):
        return
    if not torch.cuda.is_available():
        build = torch.version.cuda
        raise BackendError(
            "--sim warp needs a GPU, and PyTorch sees none: "
            + ("its build is for the CPU; install one for CUDA (pytorch.org)" if build is None else "check nvidia-smi")
            + ". For a look without one, add --device cpu: it is slower than --sim cpu by far"
        )
    if not warp.is_cuda_available():
        raise BackendError(
            "--sim warp: PyTorch sees a GPU and Warp does not: the driver is too old for it. It must support CUDA "
            f"{_version(_OLDEST_DRIVER)} or newer; nvidia-smi says what it supports"
        )


def _check_versions() -> None:
    """MuJoCo Warp follows MuJoCo's versions: 3.11.x goes with 3.11.y."""
    mujoco = importlib.metadata.version("mujoco")
    wanted = ".".join(mujoco.split(".")[:2])
    install = f"pip install '{_PACKAGE}=={wanted}.*'"
    try:
        found = importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise BackendError(f"--sim warp needs MuJoCo Warp, which is not installed: {install}") from None
    if found.split(".")[:2] != mujoco.split(".")[:2]:
        raise BackendError(f"MuJoCo Warp is {found} and MuJoCo {mujoco}; their versions must match: {install}")


def _version(parts: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in parts)
