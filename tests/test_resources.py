"""Data files are found in a checkout and where they are installed."""

import shutil
from pathlib import Path

import pytest

from her_robot import resources
from her_robot.errors import HerRobotError, UnknownNameError


def test_the_checkout():
    assert (resources.share_directory() / "package.xml").is_file()


def test_an_installed_copy(tmp_path, monkeypatch):
    share = tmp_path / "prefix" / "share" / "her_robot"
    for folder in ("config", "policies"):
        (share / folder).mkdir(parents=True)
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "lib" / "her_robot" / "resources.py"))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'other'}:{tmp_path / 'prefix'}")
    assert resources.share_directory() == share


def test_nothing_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_candidates", lambda: [tmp_path])
    with pytest.raises(HerRobotError, match="were not found; looked in"):
        resources.share_directory()


def test_names_and_paths(tmp_path):
    shipped = resources.named_file("config/robots", "fetch", "robot")
    assert shipped.name == "fetch.yaml"
    copy = Path(shutil.copy(shipped, tmp_path / "mine.yaml"))
    assert resources.named_file("config/robots", str(copy), "robot") == copy
    with pytest.raises(UnknownNameError, match=r"unknown robot 'fetsh'; did you mean 'fetch'"):
        resources.named_file("config/robots", "fetsh", "robot")
