"""What is said where MuJoCo Warp cannot run; needs neither it nor a GPU."""

import importlib.metadata

import pytest
import torch

from her_robot.errors import BackendError
from her_robot.sim.warp.installation import check_installation


def _installed(monkeypatch, **versions):
    def version(package):
        try:
            return versions[package.replace("-", "_")]
        except KeyError:
            raise importlib.metadata.PackageNotFoundError(package) from None

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_without_the_package_the_command_to_install_it_is_given(monkeypatch):
    _installed(monkeypatch, mujoco="3.11.0")
    with pytest.raises(BackendError, match=r"not installed: pip install 'mujoco-warp==3\.11\.\*'"):
        check_installation("cpu")


def test_a_version_that_does_not_match_is_refused(monkeypatch):
    _installed(monkeypatch, mujoco="3.11.0", mujoco_warp="3.10.2")
    with pytest.raises(BackendError, match=r"MuJoCo Warp is 3\.10\.2 and MuJoCo 3\.11\.0.*mujoco-warp==3\.11\.\*"):
        check_installation("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_another_device_is_proposed():
    pytest.importorskip("mujoco_warp", reason="MuJoCo Warp is not installed")
    with pytest.raises(BackendError, match=r"needs a GPU, and PyTorch sees none.*add --device cpu"):
        check_installation("cuda")
