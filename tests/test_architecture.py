"""The rules of dependency: who may import what, directly or through others of our modules."""

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "her_robot"
ROS = {
    "rclpy",
    "launch",
    "launch_ros",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "lifecycle_msgs",
    "rcl_interfaces",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "trajectory_msgs",
}
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


@cache
def imports(module: str, lazy: bool) -> frozenset[str]:
    """Full names that a module imports; with `lazy` also those inside of functions."""
    tree = ast.parse(MODULES[module].read_text())
    nodes = ast.walk(tree) if lazy else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return frozenset(found)


def reached(module: str, lazy: bool = False) -> set[str]:
    """Top-level packages, other than ours, that importing a module brings in."""
    seen, todo, found = set(), [module], set()
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        for name in imports(current, lazy):
            if name in MODULES:
                todo.append(name)
            elif not name.startswith("her_robot"):
                found.add(name.partition(".")[0])
    return found


def below(*folders: str) -> list[str]:
    return [name for name in MODULES if any(name.startswith(f"her_robot.{folder}") for folder in folders)]


def test_the_contract_imports_numpy_alone():
    assert reached("her_robot.contract", lazy=True) <= {
        *("numpy", "collections", "dataclasses", "typing", "difflib"),
        *("sys", "types"),
    }


ON_DEVICES = below("sim.warp")
"""What simulates on a GPU computes with torch; nothing else imports it, but for training."""


@pytest.mark.parametrize(
    "module", sorted({*below("sim.", "domain_rand.", "robot.", "identification.")} - {*ON_DEVICES})
)
def test_simulation_randomisation_and_deployment_know_neither_torch_nor_ros(module):
    assert not reached(module, lazy=True) & (ROS | {"torch"})


@pytest.mark.parametrize("module", below("policy."))
def test_policies_know_no_ros(module):
    assert not reached(module) & ROS
    assert not {name.partition(".")[0] for name in imports(module, True)} & ROS


def test_running_a_policy_needs_no_torch():
    for module in ("her_robot.policy.bundle", "her_robot.robot.controller", "her_robot.ros_nodes.policy_node"):
        assert "torch" not in reached(module)


def test_only_nodes_import_ros():
    users = {name for name in MODULES if {found.partition(".")[0] for found in imports(name, True)} & ROS}
    parts = ("conversions", "heard", "loop_topics", "patience", "running", "seeing")
    shared = {f"her_robot.ros_nodes.{name}" for name in parts}
    assert all(name.endswith("_node") for name in users - shared), users


def test_no_pickle_and_no_unsafe_yaml():
    for name, path in MODULES.items():
        text = path.read_text()
        assert "pickle" not in imports(name, True), name
        assert "yaml.load(" not in text, name
        assert "yaml.unsafe_load" not in text, name
        assert "torch.load(" not in text, name


def test_an_import_of_torch_would_be_found():
    assert "torch" in reached("her_robot.policy.learner")
    assert "rclpy" in reached("her_robot.ros_nodes.policy_node")
