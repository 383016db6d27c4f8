"""Launch files: their shape here, their meaning where ROS 2's launch is installed."""

import ast
import runpy

import pytest

from her_robot.contract import FETCH_CONTRACTS
from her_robot.resources import share_directory

LAUNCH = share_directory() / "launch"
TASKS = (*FETCH_CONTRACTS, "hand_reach", "hand_block", "hand_block_rotate_z")
FILES = sorted(LAUNCH.glob("*.launch.py"))


def _tree(name):
    return ast.parse((LAUNCH / f"{name}.launch.py").read_text())


def _arguments():
    """The table of arguments of the common file: name -> (default, description, choices)."""
    for node in _tree("her_robot").body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_ARGUMENTS":
            return ast.literal_eval(node.value)
    raise AssertionError("her_robot.launch.py has no table of arguments")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_describes_a_launch(path):
    functions = {
        node.name for node in _tree(path.name.removesuffix(".launch.py")).body if isinstance(node, ast.FunctionDef)
    }
    assert "generate_launch_description" in functions


def test_every_task_has_a_thin_file_over_the_common_one():
    assert {path.name for path in FILES} == {"her_robot.launch.py", *(f"{task}.launch.py" for task in TASKS)}
    for task in TASKS:
        text = (LAUNCH / f"{task}.launch.py").read_text()
        assert "her_robot.launch.py" in text
        assert f'"task": "{task}"' in text


def test_arguments_are_described_and_the_default_moves_nothing_real():
    arguments = _arguments()
    assert {"robot", "policy", "calibration", "use_sim_time", "record"} <= arguments.keys()
    for name, (default, description, choices) in arguments.items():
        assert description, name
        assert choices is None or default in choices, name
    assert arguments["robot"][0] == "sim"
    assert set(arguments["task"][2]) == set(TASKS)


def test_arguments_are_documented():
    page = (share_directory() / "docs" / "ros2.md").read_text()
    for name in _arguments():
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_ros_accepts_them(path):
    pytest.importorskip("launch_ros", reason="ROS 2's launch is not installed")
    description = runpy.run_path(str(path))["generate_launch_description"]()
    assert description.entities
