"""The tool stays in its box, whatever it is asked for."""

import numpy as np
import pytest
from perfect_arm import PERIOD, PROFILE, PerfectArm

from her_robot.robot.calibration import Table
from her_robot.robot.kinematics import Kinematics
from her_robot.robot.workspace import Workspace, workspace_over

BOX = Workspace(np.array([0.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0]))


@pytest.mark.parametrize(
    ("position", "distance"), [((0.5, 0.5, 0.5), 0.0), ((-0.1, 0.5, 1.2), 0.2), ((0.5, -0.3, 0.5), 0.3)]
)
def test_distance_outside(position, distance):
    assert BOX.distance_outside(np.array(position)) == pytest.approx(distance)


def test_far_from_the_walls_a_displacement_is_untouched():
    displacement = np.array([0.03, -0.03, 0.02])
    np.testing.assert_allclose(BOX.before_walls(np.full(3, 0.5), displacement, 3.0, PERIOD), displacement)


def test_the_nearer_a_wall_the_slower_and_never_beyond_it():
    position, speeds, deceleration = np.array([0.5, 0.5, 0.2]), [], 3.0
    for _ in range(60):
        moved = BOX.before_walls(position, np.array([0.0, 0.0, -0.03]), deceleration, PERIOD)
        position = position + moved
        speeds.append(-moved[2] / PERIOD)
        assert BOX.distance_outside(position) == 0.0
    assert position[2] == pytest.approx(0.0, abs=1e-3)
    assert (-np.diff(speeds) <= deceleration * PERIOD + 1e-9).all()


def test_from_outside_the_way_back_is_free():
    moved = BOX.before_walls(np.array([0.5, 0.5, -0.02]), np.array([0.0, 0.0, 0.03]), 3.0, PERIOD)
    assert moved[2] == pytest.approx(0.03)


def test_the_floor_is_the_calibrated_table():
    config = PROFILE.workspace
    assert workspace_over(config, None, 0.0).low.tolist() == list(config.low)
    over = workspace_over(config, Table(0.45, (0.0, -1.0), (1.0, 1.0)), 0.05)
    assert over.low[2] == pytest.approx(0.45 + config.table_clearance)
    assert over.high[2] == pytest.approx(config.high[2] + 0.05)


@pytest.mark.parametrize("task", ["fetch_push", "fetch_reach"])
@pytest.mark.parametrize("seed", range(3))
def test_full_actions_in_all_directions_leave_the_commanded_tool_in_the_box(task, seed):
    rng = np.random.default_rng(seed)
    arm, kinematics = PerfectArm(task), Kinematics(PROFILE)
    arm.run_until("running")
    box = workspace_over(PROFILE.workspace, None, 0.0)
    farthest = 0.0
    for _ in range(25):
        action = np.append(rng.choice([-1.0, 0.0, 1.0], 3), 0.0).astype(np.float32)
        object.__setattr__(arm.controller.bundle, "action", action)
        for _ in range(rng.integers(1, 9)):
            command = arm.tick()
            assert command.phase == "running"
            for joints in command.joints.positions:
                farthest = max(farthest, box.distance_outside(kinematics.forward(joints)[0]))
    assert farthest < 0.002
