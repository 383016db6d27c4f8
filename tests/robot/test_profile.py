"""The Fetch's profile against the compiled model, and refusals."""

import dataclasses

import mujoco
import numpy as np
import pytest

from her_robot import configuration, resources
from her_robot.contract import FETCH_CONTRACTS
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.robot.kinematics import Kinematics
from her_robot.robot.profile import compile_model, load_profile, load_spec, lock_joint
from her_robot.sim.tasks import fetch_task


@pytest.fixture(scope="module")
def profile():
    return load_profile("fetch")


def test_limits_are_the_models(profile):
    model = fetch_task("fetch_reach").model
    for joint in profile.joints:
        index = model.joint(profile.model.prefix + joint.name).id
        assert bool(model.jnt_limited[index]) == (joint.position is not None)
        if joint.position is not None:
            np.testing.assert_allclose(joint.position, model.jnt_range[index])


@pytest.mark.parametrize("task", FETCH_CONTRACTS)
def test_home_is_the_contracts_and_points_down(profile, task):
    kinematics, contract = Kinematics(profile.for_task(task)), FETCH_CONTRACTS[task]
    position, rotation = kinematics.forward(np.array(profile.home[task]))
    position = position + contract.base_position
    np.testing.assert_allclose(position[:2], contract.home_grip_position[:2], atol=1e-3)
    # In simulation the closed fingers rest on the table, pressed into it by 2 to 5 mm; a robot starts clear of it.
    assert contract.home_grip_position[2] - 1e-3 < position[2] < contract.home_grip_position[2] + 0.006
    expected = np.zeros(9)
    mujoco.mju_quat2Mat(expected, np.array(profile.tool_rotation_wxyz))
    np.testing.assert_allclose(rotation, expected.reshape(3, 3), atol=1e-3)


@pytest.mark.parametrize("task", FETCH_CONTRACTS)
def test_poses_keep_the_joint_limits_and_the_workspace(profile, task):
    profile = profile.for_task(task)
    for pose in (profile.home[task], profile.look[task]):
        assert (np.array(pose) > profile.position_low).all()
        assert (np.array(pose) < profile.position_high).all()
    home, _ = Kinematics(profile).forward(np.array(profile.home[task]))
    assert (home >= profile.workspace.low).all()
    assert (home <= profile.workspace.high).all()


@pytest.mark.parametrize("task", ["fetch_pick_and_place", "fetch_push", "fetch_reach"])
def test_all_goals_are_in_the_workspace_and_in_reach(profile, task):
    """With the tool held nearly upright, and streamed there as a controller does; reach's lowest are in the table."""
    profile, contract = profile.for_task(task), FETCH_CONTRACTS[task]
    kinematics, home = Kinematics(profile), np.array(profile.home[task])
    start, rotation = kinematics.forward(home)
    low, high = (np.array(goal) - contract.base_position for goal in (contract.goal_low, contract.goal_high))
    low[2] = max(low[2], profile.workspace.low[2])
    corners = np.array(np.meshgrid(*np.stack([low, high], axis=1))).reshape(3, -1).T
    assert (corners <= profile.workspace.high).all()
    for corner in corners:
        joints = home
        for part in np.linspace(0.0, 1.0, 15)[1:]:
            joints = kinematics.solve(joints, start + part * (corner - start), rotation, posture=home)
        position, reached = kinematics.forward(kinematics.solve(joints, corner, rotation, posture=home, iterations=20))
        np.testing.assert_allclose(position, corner, atol=0.002)
        assert np.arccos(np.clip((np.trace(reached @ rotation.T) - 1) / 2, -1, 1)) < 0.15


def test_a_task_may_have_its_torso_elsewhere_and_another_workspace(profile):
    pick = profile.for_task("fetch_pick_and_place")
    assert pick.model.locked_joints["robot0:torso_lift_joint"] == 0.2
    assert pick.model.locked_joints["robot0:slide1"] == profile.model.locked_joints["robot0:slide1"]
    assert pick.workspace.high[2] > profile.workspace.high[2]
    assert pick.for_task("fetch_pick_and_place") == pick
    assert profile.for_task("fetch_push") is profile


def test_locking_joints_keeps_the_pose_of_everything(profile):
    task = fetch_task("fetch_reach")
    data = mujoco.MjData(task.model)
    for name, position in profile.model.locked_joints.items():
        data.joint(name).qpos[:] = position
    locked_model = compile_model(profile.model)
    locked = mujoco.MjData(locked_model)
    for joint, position in zip(profile.joints, profile.home["fetch_reach"], strict=True):
        data.joint(profile.model.prefix + joint.name).qpos[:] = position
        locked.joint(profile.model.prefix + joint.name).qpos[:] = position
    mujoco.mj_kinematics(task.model, data)
    mujoco.mj_kinematics(locked_model, locked)
    for body in ("robot0:gripper_link", "robot0:head_camera_rgb_optical_frame", "robot0:base_link"):
        np.testing.assert_allclose(locked.body(body).xpos, data.body(body).xpos, atol=1e-9)
        np.testing.assert_allclose(locked.body(body).xmat, data.body(body).xmat, atol=1e-9)


def test_signs_and_offsets_go_both_ways(profile):
    joints = tuple(dataclasses.replace(joint, sign=-1.0, offset=0.1) for joint in profile.joints)
    turned = dataclasses.replace(profile, joints=joints)
    positions = np.linspace(-1, 1, 7)
    np.testing.assert_allclose(turned.to_robot(positions), -positions + 0.1)
    np.testing.assert_allclose(turned.from_robot(turned.to_robot(positions)), positions)


def _write(tmp_path, **changes):
    data = configuration.read_yaml(resources.share_directory() / "config" / "robots" / "fetch.yaml")
    path = tmp_path / "robot.yaml"
    path.write_text(configuration.dump_yaml({**data, **changes}))
    return str(path), data


def test_another_arm_is_another_file(tmp_path, profile):
    path, _ = _write(tmp_path, name="other")
    assert load_profile(path) == dataclasses.replace(profile, name="other")


def test_names_that_the_model_lacks(tmp_path):
    _, data = _write(tmp_path)
    joints = [{**data["joints"][0], "name": "shoulder_pam_joint"}, *data["joints"][1:]]
    path, _ = _write(tmp_path, joints=joints)
    with pytest.raises(
        ConfigurationError, match=r"no joint 'robot0:shoulder_pam_joint'; did you mean 'robot0:shoulder_pan"
    ):
        load_profile(path)
    path, _ = _write(tmp_path, model={**data["model"], "tool_site": "grip"})
    with pytest.raises(ConfigurationError, match="no site 'grip'"):
        load_profile(path)
    path, _ = _write(tmp_path, model={**data["model"], "file": "nowhere.xml"})
    with pytest.raises(ConfigurationError, match="no such file"):
        load_profile(path)


def test_values_that_cannot_be(tmp_path):
    _, data = _write(tmp_path)
    path, _ = _write(tmp_path, home={"fetch_push": [0.0, 1.0]})
    with pytest.raises(ConfigurationError, match=r"home.fetch_push has 2 values for 7 joints"):
        load_profile(path)
    path, _ = _write(tmp_path, workspace={"low": [1, 1, 1], "high": [0, 2, 2]})
    with pytest.raises(ConfigurationError, match=r"low .* must be below high"):
        load_profile(path)
    path, _ = _write(tmp_path, joints=[{**data["joints"][0], "velocity": -1.0}, *data["joints"][1:]])
    with pytest.raises(ConfigurationError, match="velocity must be above 0, found -1"):
        load_profile(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"finger_speed": 0.0}, "finger_speed must be above 0"),
        ({"gain": -1.0}, "gain must be above 0"),
        ({"lead": float("inf")}, "lead must be above 0"),
        ({"open_gap": 0.0}, "must be 0 <= closed < open"),
    ],
)
def test_impossible_grippers(tmp_path, values, message):
    _, data = _write(tmp_path)
    path, _ = _write(tmp_path, gripper={**data["gripper"], **values})
    with pytest.raises(ConfigurationError, match=message):
        load_profile(path)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("timing", {"object_timeout": float("inf")}, "timing: object_timeout must be above 0, found inf"),
        ("timing", {"joint_states_timeout": 0.0}, "timing: joint_states_timeout must be above 0"),
        ("motion", {"tracking_tolerance": -0.35}, "motion: tracking_tolerance must be above 0"),
        ("motion", {"lead": float("nan")}, "motion: lead must be above 0"),
        ("workspace", {"table_clearance": -0.01}, "workspace: table_clearance must not be negative"),
    ],
)
def test_impossible_limits(tmp_path, section, values, message):
    _, data = _write(tmp_path)
    path, _ = _write(tmp_path, **{section: {**data.get(section, {}), **values}})
    with pytest.raises(ConfigurationError, match=message):
        load_profile(path)


def test_a_task_cannot_lock_what_the_model_does_not(tmp_path):
    path, _ = _write(tmp_path, tasks={"fetch_push": {"locked_joints": {"robot0:torso_lift": 0.1}}})
    with pytest.raises(ConfigurationError, match=r"tasks.fetch_push.*no 'robot0:torso_lift'; did you mean"):
        load_profile(path)


def test_unknown_robot():
    with pytest.raises(UnknownNameError, match=r"unknown robot 'fetsch'; did you mean 'fetch'"):
        load_profile("fetsch")


def test_accelerations_are_within_what_the_motors_can_do(profile):
    """(effort - gravity) / inertia at home, from the model without the rotor inertias that steady Gymnasium's weld."""
    effort = np.array([33.82, 131.76, 76.94, 66.18, 29.35, 25.7, 7.36])  # fetch_description's URDF [Nm]
    spec = load_spec(profile.model.file)
    for equality in list(spec.equalities):
        spec.delete(equality)
    spec.delete(spec.body("robot0:mocap"))
    for name, position in profile.model.locked_joints.items():
        lock_joint(spec, spec.joint(name), position)
    for joint in spec.joints:
        joint.armature = 0.0
    for name in profile.gripper.joints:
        finger = spec.joint(profile.model.prefix + name).parent
        finger.mass, finger.inertia = 0.1, np.full(3, 1e-4)
    model = spec.compile()
    data = mujoco.MjData(model)
    names = [profile.model.prefix + joint.name for joint in profile.joints]
    for name, position in zip(names, profile.home["fetch_push"], strict=True):
        data.joint(name).qpos[:] = position
    mujoco.mj_forward(model, data)
    dofs = [model.joint(name).dofadr[0] for name in names]
    # A unit acceleration of one joint takes a torque of its inertia, beside gravity.
    gravity = np.abs(data.qfrc_bias[dofs])
    inertia = np.zeros(len(dofs))
    for index, dof in enumerate(dofs):
        torque = np.zeros(model.nv)
        unit = np.zeros(model.nv)
        unit[dof] = 1.0
        mujoco.mj_mulM(model, data, torque, unit)
        inertia[index] = torque[dof]
    assert (profile.acceleration_limit <= 0.65 * (effort - gravity) / inertia).all()
