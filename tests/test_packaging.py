"""What is installed: all data, the executables that ros2 and a shell look for, and no torch by surprise."""

import importlib
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]


@pytest.fixture
def arguments(monkeypatch):
    """What setup.py hands to setuptools."""
    found = {}
    monkeypatch.setattr(setuptools, "setup", found.update)
    monkeypatch.chdir(ROOT)
    exec(compile((ROOT / "setup.py").read_text(), str(ROOT / "setup.py"), "exec"), {"__file__": str(ROOT / "setup.py")})
    return found


def test_all_data_is_installed_with_its_folders(arguments):
    installed = {(target, Path(name).name) for target, names in arguments["data_files"] for name in names}
    assert ("share/ament_index/resource_index/packages", "her_robot") in installed
    assert ("share/her_robot", "package.xml") in installed
    for top in ("config", "calibration", "launch", "policies"):
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (f"share/her_robot/{path.parent.relative_to(ROOT)}", path.name) in installed


def test_executables_exist(arguments):
    scripts = dict(entry.split(" = ") for entry in arguments["entry_points"]["console_scripts"])
    assert {"her-robot", "sim_robot_node", "camera_goal_node", "object_pose_node", "policy_node"} == scripts.keys()
    for target in scripts.values():
        module, function = target.split(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_torch_is_asked_for_only_by_training(arguments):
    assert not any(requirement.startswith("torch") for requirement in arguments["install_requires"])
    assert any(requirement.startswith("torch") for requirement in arguments["extras_require"]["train"])


def test_versions_agree(arguments):
    import her_robot

    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert arguments["version"] == her_robot.__version__ == package.findtext("version")
    assert package.get("format") == "3"
    assert package.findtext("export/build_type") == "ament_python"
    maintainer = package.find("maintainer")
    assert maintainer is not None
    assert re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", maintainer.get("email", ""))


def test_pinned_versions_satisfy_what_the_package_asks_for(arguments):
    from packaging.requirements import Requirement

    pinned = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1].isalpha()]
    for text in arguments["install_requires"]:
        wanted = Requirement(text)
        versions = [next(iter(pin.specifier)).version for pin in pinned if pin.name == wanted.name]
        assert versions, wanted
        assert all(wanted.specifier.contains(version) for version in versions), wanted


def test_every_message_package_that_nodes_import_is_declared():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {element.text for element in package.findall("exec_depend")}
    text = "".join(path.read_text() for path in (ROOT / "her_robot" / "ros_nodes").glob("*.py"))
    used = {name for name in re.findall(r"^from (\w+_msgs|std_srvs|builtin_interfaces)\.", text, re.M)}
    assert used <= declared, used - declared
