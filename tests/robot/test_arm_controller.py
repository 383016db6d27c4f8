"""One control period after another: phases, motion, stops, and tables of other heights."""

import dataclasses

import numpy as np
import pytest
from perfect_arm import PERIOD, PROFILE, ConstantPolicy, PerfectArm

from her_robot.contract import FETCH_CONTRACTS
from her_robot.errors import BundleError, ConfigurationError
from her_robot.policy.episode_memory import EpisodeMemory
from her_robot.robot.arm_controller import ArmController
from her_robot.robot.calibration import JointOffsets, Table
from her_robot.robot.controller import load_controller
from her_robot.robot.kinematics import Kinematics


@pytest.mark.parametrize("task", FETCH_CONTRACTS)
def test_phases_lead_from_the_look_pose_over_home_to_running(task):
    arm = PerfectArm(task)
    phases = []
    for _ in range(150):
        phases.append(arm.tick().phase)
    order = list(dict.fromkeys(phases))
    assert order[-1] == "running"
    assert order.index("homing") < order.index("running")
    assert arm.controller.steps > 0


def test_a_low_arm_is_raised_before_it_looks():
    arm = PerfectArm()
    arm.joints = np.array(PROFILE.home["fetch_push"])
    kinematics = Kinematics(PROFILE)
    start, _ = kinematics.forward(arm.joints)
    assert arm.tick().phase == "raising"
    for _ in range(8):
        arm.tick()
    risen, _ = kinematics.forward(arm.joints)
    assert risen[2] > start[2] + 0.02
    np.testing.assert_allclose(risen[:2], start[:2], atol=2e-3)
    arm.run_until("running")


def test_it_looks_until_object_and_goal_are_seen():
    arm = PerfectArm()
    arm.sees = False
    for _ in range(60):
        command = arm.tick()
    assert command.phase == "looking"
    assert command.reason == "not seen yet: goal, object"
    arm.sees = True
    arm.run_until("running")


def test_an_action_moves_the_tool_in_the_world_frame():
    kinematics = Kinematics(PROFILE)
    for axis, sign in ((0, 1), (1, -1), (2, 1)):
        action = np.zeros(4)
        action[axis] = 0.3 * sign
        arm = PerfectArm(action=action)
        arm.run_until("running")
        start, _ = kinematics.forward(arm.joints)
        for _ in range(8):
            arm.tick()
        moved = kinematics.forward(arm.joints)[0] - start
        assert sign * moved[axis] > 0.03
        others = np.delete(moved, axis)
        assert np.abs(others).max() < 0.005


def test_full_action_is_nearly_as_fast_as_in_simulation():
    arm = PerfectArm(action=(0.0, 1.0, 0.0, 0.0))
    arm.run_until("running")
    kinematics = Kinematics(PROFILE)
    for _ in range(7):
        before = kinematics.forward(arm.joints)[0]
        arm.tick()
    speed = (kinematics.forward(arm.joints)[0] - before)[1] / PERIOD
    assert 0.3 < speed < 0.85


def test_orientation_is_kept_while_moving():
    arm = PerfectArm(action=(0.2, 0.3, 0.1, 0.0))
    arm.run_until("running")
    kinematics = Kinematics(PROFILE)
    expected = kinematics.forward(np.array(PROFILE.home["fetch_push"]))[1]
    for _ in range(20):
        arm.tick()
    rotation = kinematics.forward(arm.joints)[1]
    assert np.arccos(np.clip((np.trace(rotation @ expected.T) - 1) / 2, -1, 1)) < 0.05


def _table(height):
    return Table(height, (0.0, -1.0), (1.0, 1.0))


def test_an_object_that_the_arm_hides_is_looked_for_again():
    arm = PerfectArm(action=(0.0, 0.0, 0.0, 0.0))
    arm.run_until("running")
    arm.sees = False
    kinematics = Kinematics(PROFILE)
    home, _ = kinematics.forward(arm.joints)
    while arm.controller.measured.ages(arm.time)["object"] < PROFILE.timing.object_hidden + 1.0:
        assert arm.tick().phase == "running"
    looking, _ = kinematics.forward(arm.joints)
    assert looking[2] > home[2] + 0.1
    arm.sees = True
    arm.tick()
    before, _ = kinematics.forward(arm.joints)
    for _ in range(5):
        arm.tick()
    after, _ = kinematics.forward(arm.joints)
    assert np.linalg.norm(after - before) < 0.1


def test_an_arm_that_does_not_follow_holds():
    arm = PerfectArm(action=(0.0, 0.5, 0.0, 0.0))
    arm.run_until("running")
    stuck = arm.joints.copy()
    for _ in range(100):
        command = arm.tick(positions=[*stuck, 0.0, 0.0], velocities=[0.0] * 9)
        if command.phase == "holding":
            break
    lead = Kinematics(PROFILE).forward(arm.joints)[0] - Kinematics(PROFILE).forward(stuck)[0]
    assert np.abs(lead).max() < PROFILE.motion.lead + 0.06
    arm.controller.safety.start(stuck + 0.5)
    assert "the arm does not follow" in arm.tick(positions=[*stuck, 0.0, 0.0]).reason


def test_deactivating_in_motion_ends_at_rest_and_starts_anew_from_there():
    arm = PerfectArm(action=(0.0, 1.0, 0.0, 0.0))
    arm.run_until("running")
    for _ in range(5):
        moving = arm.tick()
    assert np.abs(moving.joints.velocities[0]).max() > 0.2
    command = arm.controller.hold()
    np.testing.assert_array_equal(command.joints.velocities[-1], 0.0)
    change = np.abs(command.joints.velocities[0] - moving.joints.velocities[0])
    assert (change <= PROFILE.acceleration_limit * PERIOD + 1e-9).all()
    arm.joints = PROFILE.to_robot(np.array(PROFILE.look["fetch_push"]))
    arm.controller.forget()
    first = arm.tick()
    np.testing.assert_allclose(first.joints.positions[0], arm.joints, atol=0.05)


def test_a_stop_is_latched():
    arm = PerfectArm(action=(0.3, 0, 0, 0))
    arm.run_until("running")
    arm.controller.stop("button pressed")
    for _ in range(20):
        command = arm.tick()
    assert (command.phase, command.reason) == ("stopped", "button pressed")
    np.testing.assert_allclose(command.joints.velocities, 0.0, atol=1e-9)
    arm.controller.rearm()
    arm.run_until("running")


def test_rearming_a_moving_arm_keeps_the_acceleration_limits():
    arm = PerfectArm(action=(0, 1, 0, 0))
    arm.run_until("running")
    for _ in range(6):
        last = arm.tick().joints.velocities[0]
    assert np.abs(last).max() > 0.5
    arm.controller.stop("button pressed")
    arm.controller.rearm()
    for _ in range(20):
        velocities = arm.tick().joints.velocities[0]
        assert (np.abs(velocities - last) <= PROFILE.acceleration_limit * PERIOD + 1e-9).all()
        last = velocities
    arm.run_until("running")


def test_a_stop_may_be_rearmed_before_joints_are_known():
    arm = PerfectArm()
    arm.controller.stop("button pressed")
    arm.controller.rearm()
    assert not arm.controller.stopped
    assert arm.controller.tick(1.0).reason == "no joint states yet"
    arm.run_until("running")


def test_an_action_that_is_not_finite_stops():
    arm = PerfectArm(action=(0.3, 0, 0, 0))
    arm.run_until("running")
    object.__setattr__(arm.controller.bundle, "action", np.array([np.nan, 0, 0, 0], np.float32))
    command = arm.tick()
    assert (command.phase, command.reason) == ("stopped", "the policy's action is not finite")
    for _ in range(20):
        command = arm.tick()
    assert command.phase == "stopped"
    np.testing.assert_allclose(command.joints.velocities, 0.0, atol=1e-9)
    assert arm.controller.safety.stops == 1


class _Counting(ConstantPolicy):
    """Does nothing, and keeps count of the steps that it remembers."""

    def __init__(self, task):
        super().__init__(task, np.zeros(4))
        object.__setattr__(self, "remembered", [])

    def memory(self):
        return EpisodeMemory(1000, 4)

    def act(self, observation, desired_goal, memory=None):
        _, actions = memory.before(observation)
        self.remembered.append(int(actions[:, 0].sum()))
        memory.record(observation, np.ones(4))
        return self.action


def test_a_policy_remembers_until_it_pauses_or_the_goal_goes_elsewhere():
    arm = PerfectArm(policy=_Counting("fetch_push"))
    remembered = arm.controller.bundle.remembered
    arm.run_until("running")

    def steps_remembered(ticks):
        remembered.clear()
        for _ in range(ticks):
            arm.tick()
        return remembered

    assert steps_remembered(3) == [1, 2, 3]
    arm.time += 2 * PERIOD
    assert steps_remembered(1) == [4], "a late tick is no pause"
    arm.goal = arm.goal + [0.0, 0.004, 0.0]
    assert steps_remembered(1) == [5], "noise is no other goal"
    arm.goal = arm.goal - [0.0, 0.06, 0.0]
    assert steps_remembered(2) == [0, 1]
    arm.time += 4 * PERIOD
    assert steps_remembered(2) == [0, 1]
    for _ in range(5):
        arm.tick(positions=[np.nan] * 9)
    assert steps_remembered(2) == [0, 1], "the arm was held"
    arm.controller.stop("test")
    arm.tick()
    arm.controller.rearm()
    remembered.clear()
    arm.run_until("running")
    assert remembered == [0]


def test_what_brakes_says_so_and_what_moves_does_not():
    arm = PerfectArm(action=(0.0, 0.5, 0.0, 0.0))
    assert not arm.run_until("homing").brakes
    assert not arm.run_until("running").brakes
    assert arm.tick(positions=[np.nan] * 9).brakes
    assert not arm.tick().brakes
    arm.controller.stop("button pressed")
    assert arm.tick().brakes
    assert arm.controller.hold().brakes


def test_a_clock_that_jumps_back_starts_anew():
    arm = PerfectArm()
    arm.run_until("running")
    arm.time -= 100.0
    assert arm.tick().phase == "waiting"
    assert arm.tick().phase in ("raising", "looking")
    arm.run_until("running")


def test_nothing_is_sent_before_joints_are_known():
    arm = PerfectArm()
    command = arm.controller.tick(1.0)
    assert command.joints is None
    assert command.reason == "no joint states yet"


def test_signs_and_encoder_offsets_reach_the_same_tool_path():
    joints = tuple(dataclasses.replace(joint, sign=-1.0, offset=0.2) for joint in PROFILE.joints)
    turned = dataclasses.replace(PROFILE, joints=joints)
    offsets = {"elbow_flex_joint": 0.05}
    plain, mapped = (
        PerfectArm(action=(0.3, 0, 0, 0)),
        PerfectArm(action=(0.3, 0, 0, 0), profile=turned, offsets=offsets),
    )
    error = np.array([offsets.get(name, 0.0) for name in PROFILE.joint_names])
    mapped.joints = mapped.joints - error
    for _ in range(60):
        plain.tick()
        mapped.tick()
    np.testing.assert_allclose(turned.from_robot(mapped.joints + error), plain.joints, atol=1e-9)


@pytest.mark.parametrize("lift", [-0.05, 0.05])
def test_a_table_of_another_height_lifts_the_arm_and_leaves_the_policys_world(lift):
    seen, kinematics = [], Kinematics(PROFILE)
    for height in (0.40, 0.40 + lift):
        arm = PerfectArm(action=(0, 0, -1, 0), table=_table(height))
        arm.goal = arm.goal + [0, 0, height - 0.40]
        arm.object = arm.object + [0, 0, height - 0.40]
        arm.run_until("running")
        seen.append(arm.controller._state(arm.time))
        for _ in range(30):
            arm.tick()
            assert kinematics.forward(arm.joints)[0][2] > height + PROFILE.workspace.table_clearance - 0.002
    np.testing.assert_allclose(seen[0].object.position, seen[1].object.position, atol=1e-9)
    np.testing.assert_allclose(seen[0].grip_position, seen[1].grip_position, atol=1e-3)


def test_a_reaching_arm_stays_above_the_table_that_is_calibrated():
    arm, kinematics = PerfectArm("fetch_reach", action=(0, 0, -1, 0), table=_table(0.45)), Kinematics(PROFILE)
    arm.run_until("running")
    for _ in range(30):
        arm.tick()
        assert kinematics.forward(arm.joints)[0][2] > 0.45 + PROFILE.workspace.table_clearance - 0.002


@pytest.mark.parametrize(("task", "height"), [("fetch_reach", 0.60), ("fetch_push", 1.60)])
def test_a_table_that_the_arm_would_start_in_or_cannot_reach_over_is_refused(task, height):
    with pytest.raises(ConfigurationError, match=rf"home.{task} of robot 'fetch' .* see table_height"):
        PerfectArm(task, table=_table(height))


def test_a_robot_without_a_home_for_the_task_is_refused():
    profile = dataclasses.replace(PROFILE, home={}, look={})
    with pytest.raises(BundleError, match="no home and look pose for fetch_push"):
        ArmController(ConstantPolicy("fetch_push", np.zeros(4)), profile, JointOffsets({}))


def test_load_controller_refuses_a_policy_for_another_task():
    from her_robot.policy.bundle import shipped_bundle

    with pytest.raises(BundleError, match="a policy for fetch_reach, not for fetch_push"):
        load_controller("fetch_push", shipped_bundle("fetch_reach"), "fetch", "fetch_sim")
