"""Forward and inverse kinematics against MuJoCo and against each other."""

import mujoco
import numpy as np
import pytest

from her_robot.robot.kinematics import Kinematics
from her_robot.robot.profile import load_profile
from her_robot.sim.tasks import fetch_task


@pytest.fixture(scope="module")
def arm():
    profile = load_profile("fetch")
    return Kinematics(profile), profile


def _random_positions(profile, rng):
    home = np.array(profile.home["fetch_push"])
    return home + rng.uniform(-0.3, 0.3, home.size)


def test_forward_is_the_environments_own_model(arm):
    kinematics, profile = arm
    task = fetch_task("fetch_reach")
    data = mujoco.MjData(task.model)
    for name, position in profile.model.locked_joints.items():
        data.joint(name).qpos[:] = position
    rng = np.random.default_rng(0)
    for _ in range(10):
        positions = _random_positions(profile, rng)
        for joint, position in zip(profile.joints, positions, strict=True):
            data.joint(profile.model.prefix + joint.name).qpos[:] = position
        mujoco.mj_kinematics(task.model, data)
        expected = data.site("robot0:grip").xpos - data.body("robot0:base_link").xpos
        position, rotation = kinematics.forward(positions)
        np.testing.assert_allclose(position, expected, atol=1e-9)
        np.testing.assert_allclose(rotation, data.site("robot0:grip").xmat.reshape(3, 3), atol=1e-9)


def test_velocity_is_the_derivative_of_the_position(arm):
    kinematics, profile = arm
    rng = np.random.default_rng(1)
    positions, velocities = _random_positions(profile, rng), rng.normal(size=7)
    step = 1e-6
    ahead, _ = kinematics.forward(positions + step * velocities)
    behind, _ = kinematics.forward(positions - step * velocities)
    np.testing.assert_allclose(kinematics.velocity(positions, velocities), (ahead - behind) / (2 * step), atol=1e-6)


def test_inverse_reaches_the_pose_of_other_joint_positions(arm):
    kinematics, profile = arm
    rng = np.random.default_rng(2)
    home = np.array(profile.home["fetch_push"])
    for _ in range(10):
        position, rotation = kinematics.forward(_random_positions(profile, rng))
        solution = kinematics.solve(home, position, rotation, iterations=60)
        reached, turned = kinematics.forward(solution)
        np.testing.assert_allclose(reached, position, atol=2e-3)
        np.testing.assert_allclose(turned, rotation, atol=2e-2)
        assert (solution >= profile.position_low - 1e-9).all()
        assert (solution <= profile.position_high + 1e-9).all()


def test_a_streamed_target_is_followed_within_a_millimetre(arm):
    kinematics, profile = arm
    positions = np.array(profile.home["fetch_push"])
    start, rotation = kinematics.forward(positions)
    for k in range(1, 41):
        target = start + np.array([0.0, 0.003 * k, 0.001 * k])
        positions = kinematics.solve(positions, target, rotation, posture=np.array(profile.home["fetch_push"]))
        np.testing.assert_allclose(kinematics.forward(positions)[0], target, atol=1e-3)


def test_an_unreachable_target_keeps_the_limits(arm):
    kinematics, profile = arm
    home = np.array(profile.home["fetch_push"])
    _, rotation = kinematics.forward(home)
    solution = kinematics.solve(home, np.array([3.0, 0.0, 0.5]), rotation, iterations=30)
    assert np.isfinite(solution).all()
    assert (solution >= profile.position_low - 1e-9).all()
    assert (solution <= profile.position_high + 1e-9).all()
