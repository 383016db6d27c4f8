"""What the simulated robot's fingers do to objects, and where goals are."""

from dataclasses import replace

import numpy as np
import pytest
from driven_robot import CONTROL_PERIOD, NO_DELAY, arm, go

from her_robot import rotations
from her_robot.robot.kinematics import Kinematics
from her_robot.sim.robot import ARMS, SimulatedRobot
from her_robot.sim.scene import table_top


def lead(robot: SimulatedRobot, kinematics: Kinematics, goal: np.ndarray, speed: float = 0.2) -> None:
    """Bring the tool to a point in the world (3,) [m] on a straight line, and wait."""
    base, (_, rotation) = np.array(robot.contract.base_position), kinematics.forward(arm(robot))
    positions, tool = arm(robot), robot.ground_truth().grip_position
    steps = int(np.ceil(np.linalg.norm(goal - tool) / (speed * CONTROL_PERIOD)))
    for fraction in np.linspace(0.0, 1.0, steps + 1)[1:]:
        positions = kinematics.solve(positions, tool + fraction * (goal - tool) - base, rotation)
        go(robot, positions, 0.06)
        robot.step(CONTROL_PERIOD)
    robot.step(0.3)


def gap(robot: SimulatedRobot) -> float:
    measured = robot.joint_state()
    return sum(measured.positions[measured.names.index(name)] for name in robot.profile.gripper.joints)


def come_down_around(robot: SimulatedRobot, kinematics: Kinematics, block: np.ndarray) -> None:
    """Open the fingers above a block at (3,) [m], world frame, and bring them to both of its sides."""
    open_gap = robot.profile.gripper.open_gap
    robot.command_gripper(open_gap)
    lead(robot, kinematics, block + [0.0, 0.0, 0.15])
    assert gap(robot) == pytest.approx(open_gap, abs=2e-3)
    lead(robot, kinematics, block + [0.0, 0.0, 0.005])


def test_pushing_with_the_closed_fingers_moves_the_object(robot):
    """The tool goes behind the object, down, and 14 cm ahead; the object goes along and stays flat on the table."""
    kinematics = Kinematics(robot.profile)
    before = robot.ground_truth()
    assert before.object_position is not None
    behind = before.object_position + np.array([-0.08, 0.0, 0.2])
    end = behind - [-0.14, 0.0, 0.2]
    for goal in (behind, behind - [0.0, 0.0, 0.2], end):
        lead(robot, kinematics, goal)
    after = robot.ground_truth()
    np.testing.assert_allclose(after.grip_position, end, atol=2e-3)
    moved = after.object_position - before.object_position
    # The fingers, 13.5 mm from their middle to their front, meet the object's back at 25 mm from its centre.
    assert moved[0] == pytest.approx(0.06 + 0.0135 + 0.025, abs=0.012)
    assert abs(moved[1]) < 0.02
    assert abs(moved[2]) < 1e-3
    assert rotations.to_matrix(after.object_quaternion)[2, 2] > 0.999


def test_the_fingers_lift_the_block_hold_it_and_let_it_go():
    """With what a controller commands: no closer than the lead within what is between the fingers."""
    robot = SimulatedRobot(ARMS.load("fetch"), "fetch_pick_and_place", 0)
    kinematics, grip = Kinematics(robot.profile), robot.profile.gripper
    block = robot.ground_truth().object_position
    assert block is not None
    come_down_around(robot, kinematics, block)
    robot.command_gripper(0.05 - grip.lead)
    robot.step(0.5)
    assert gap(robot) == pytest.approx(0.049, abs=0.003)
    lead(robot, kinematics, block + [0.05, 0.05, 0.3], speed=0.5)
    lifted = robot.ground_truth().achieved_goal
    np.testing.assert_allclose(lifted, block + [0.05, 0.05, 0.295], atol=0.012)
    robot.step(4.0)
    after = robot.ground_truth()
    np.testing.assert_allclose(after.achieved_goal, lifted, atol=0.005)
    assert rotations.to_matrix(after.object_quaternion)[2, 2] > 0.99
    robot.command_gripper(grip.open_gap)
    robot.step(1.0)
    assert robot.ground_truth().achieved_goal[2] == pytest.approx(block[2], abs=2e-3)
    robot.close()


def test_the_fingers_lift_what_a_fetch_may_carry():
    """Its payload is 6 kg; 5 kg, slowly, with what a controller commands."""
    robot = SimulatedRobot(replace(NO_DELAY, scene=replace(NO_DELAY.scene, object_mass=5.0)), "fetch_pick_and_place", 0)
    kinematics, grip = Kinematics(robot.profile), robot.profile.gripper
    block = robot.ground_truth().object_position
    assert block is not None
    come_down_around(robot, kinematics, block)
    robot.command_gripper(0.05 - grip.lead)
    robot.step(1.0)
    lead(robot, kinematics, block + [0.0, 0.0, 0.2])
    assert robot.ground_truth().achieved_goal[2] > block[2] + 0.17
    robot.close()


def test_what_is_between_the_fingers_stops_them_with_the_largest_force():
    scene = replace(NO_DELAY.scene, finger_force=15.0)
    robot = SimulatedRobot(replace(NO_DELAY, scene=scene), "fetch_pick_and_place", 0)
    block = robot.ground_truth().object_position
    assert block is not None
    kinematics = Kinematics(robot.profile)
    come_down_around(robot, kinematics, block)
    robot.command_gripper(0.0)
    robot.step(1.0)
    assert gap(robot) > 0.045
    forces = [robot.data.actuator(f"robot0:{name}").force[0] for name in robot.profile.gripper.joints]
    np.testing.assert_allclose(forces, -15.0)
    robot.close()


def test_goals_in_the_air_are_marked_where_they_are_and_hide_no_block_from_the_camera():
    robot = SimulatedRobot(NO_DELAY, "fetch_pick_and_place", 0)
    camera, lifted = np.array(robot.contract.base_position) + robot.camera_pose_base()[1], 0
    for seed in range(150):
        robot.reset(seed)
        truth, tile = robot.ground_truth(), robot.data.mocap_pos[0]
        assert truth.object_position is not None
        if truth.goal[2] < robot.contract.goal_low[2] + 1e-6:
            np.testing.assert_allclose(tile, [*truth.goal[:2], table_top(robot.model)])
            continue
        lifted += 1
        np.testing.assert_array_equal(tile, truth.goal)
        sight = truth.object_position - camera
        crossing = camera + sight * (tile[2] - camera[2]) / sight[2]
        assert np.abs(crossing - tile)[:2].max() > 0.075
    robot.close()
    assert 50 < lifted < 100


def test_the_puck_slides_on_after_a_blow():
    robot = SimulatedRobot(NO_DELAY, "fetch_slide", 0)
    start = robot.ground_truth().achieved_goal
    robot.data.joint("object0:joint").qvel[0] = 0.6
    robot.step(3.0)
    # v^2 / (2 mu g), with 0.8 of the training's friction of 0.1
    moved = robot.ground_truth().achieved_goal - start
    robot.close()
    assert moved[0] == pytest.approx(0.36 / (2 * 0.08 * 9.81), rel=0.15)
