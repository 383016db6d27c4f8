"""The node as a process of its own, over DDS: what it sends, when it holds, and what it refuses."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from her_robot.contract import contract_of
from her_robot.policy.bundle import shipped_bundle
from her_robot.resources import named_file
from her_robot.robot.profile import load_profile

rclpy = pytest.importorskip("rclpy")
from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import PoseWithCovarianceStamped  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from her_robot.ros_nodes import conversions  # noqa: E402
from her_robot.ros_nodes.patience import Patience  # noqa: E402

pytestmark = pytest.mark.ros
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
PERIOD = 0.04
PROFILE = load_profile("fetch")
CONTRACT = contract_of("fetch_reach")
NAMES = [*PROFILE.joint_names, *PROFILE.gripper.joints]
GOAL = np.array(CONTRACT.home_grip_position) - CONTRACT.base_position + [0.05, 0.1, 0.05]


def _command(*parameters):
    arguments = [word for parameter in parameters for word in ("-p", parameter)]
    return [sys.executable, "-m", "her_robot.ros_nodes.policy_node", "--ros-args", *arguments]


def _environment(domain=DOMAIN):
    return {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def _autostarted(*parameters, domain):
    """What became of a node that was to start by itself and could not."""
    command = _command(*parameters, "autostart:=true")
    return subprocess.run(command, env=_environment(domain), capture_output=True, text=True, timeout=60)


class Robot:
    """The other end of the node's topics: joints that are where they were told to be, a camera, a clock."""

    def __init__(self, domain=DOMAIN):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("robot", context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.clock = self.node.create_publisher(Clock, "/clock", 10)
        self.joint_states = self.node.create_publisher(JointState, "joint_states", 10)
        self.goals = self.node.create_publisher(PoseWithCovarianceStamped, "goal_pose", 10)
        self.change_state = self.node.create_client(ChangeState, "policy_node/change_state")
        self.triggers = {name: self.node.create_client(Trigger, f"policy_node/{name}") for name in ("stop", "rearm")}
        self.commands, self.statuses, self.sent = [], [], []
        for kind, topic, received in (
            (JointTrajectory, "arm_controller/joint_trajectory", self.commands),
            (JointTrajectory, "policy_node/command_sent", self.sent),
            (DiagnosticArray, "policy_node/status", self.statuses),
        ):
            self.node.create_subscription(kind, topic, received.append, 100)
        self.get_state = self.node.create_client(GetState, "policy_node/get_state")
        self.met = False
        self.time = 0.0
        self.joints = np.array(PROFILE.look["fetch_reach"])

    def meet(self):
        """Wait until the node answers. The client that asks was made last: a node that has found it has found all."""
        if not self.met:
            Patience(self.executor, lambda: None).until_it_answers(self.get_state, GetState.Request())
            self.met = True

    def wait(self, condition, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the node did not answer in time"
            self.executor.spin_once(timeout_sec=0.01)

    def call(self, client, request):
        self.meet()
        future = client.call_async(request)
        self.wait(future.done)
        return future.result()

    def transition(self, identifier):
        return self.call(self.change_state, ChangeState.Request(transition=Transition(id=identifier))).success

    def activate(self):
        self.joints = np.array(PROFILE.look["fetch_reach"])
        assert self.transition(Transition.TRANSITION_ACTIVATE)

    def deactivate(self):
        assert self.transition(Transition.TRANSITION_DEACTIVATE)

    def tick(self, names=NAMES, positions=None, measure=True, goal=GOAL):
        """One control period; returns the node's status."""
        self.time = round(self.time + PERIOD, 6)
        stamp, before = conversions.to_stamp(self.time), len(self.commands)
        if measure:
            positions = [*self.joints, 0.0, 0.0] if positions is None else positions
            message = JointState(name=list(names), position=list(positions))
            message.header.stamp = stamp
            self.joint_states.publish(message)
        if goal is not None:
            message = conversions.pose_with_covariance("base_link", stamp, goal, np.eye(3), np.zeros((6, 6)))
            self.goals.publish(message)
        # Inputs arrive on topics of their own: give them a moment before the clock makes the node act.
        settle = time.monotonic() + 0.01
        while time.monotonic() < settle:
            self.executor.spin_once(timeout_sec=0.005)
        self.clock.publish(Clock(clock=stamp))
        self.wait(lambda: self.statuses and self._stamp(self.statuses[-1]) >= self.time - 1e-6)
        self.wait(lambda: not self.sent or len(self.commands) >= len(self.sent))
        if len(self.commands) > before:
            self.joints = np.array(self.commands[-1].points[0].positions)
        return self.status()

    def run_until(self, phase, **inputs):
        for _ in range(150):
            status = self.tick(**inputs)
            if status["phase"] == phase:
                return status
        raise AssertionError(f"still {status['phase']}: {status['reason']}")

    def status(self):
        return {pair.key: pair.value for pair in self.statuses[-1].status[0].values}

    @staticmethod
    def _stamp(message):
        return conversions.to_seconds(message.header.stamp)


@pytest.fixture(scope="module")
def node_and_robot():
    process = subprocess.Popen(_command("task:=fetch_reach", "use_sim_time:=true"), env=_environment())
    robot = Robot()
    robot.meet()
    robot.clock.publish(Clock())
    assert robot.transition(Transition.TRANSITION_CONFIGURE)
    yield process, robot
    process.send_signal(signal.SIGINT)
    process.wait(10)
    robot.context.shutdown()


@pytest.fixture
def robot(node_and_robot):
    _, robot = node_and_robot
    robot.activate()
    yield robot
    robot.deactivate()


def _assert_at_rest(robot):
    last = robot.commands[-1]
    np.testing.assert_allclose(last.points[0].velocities, 0.0, atol=1e-9)
    np.testing.assert_allclose(last.points[0].positions, last.points[-1].positions, atol=1e-9)


def test_one_command_a_control_period_with_two_points(robot):
    robot.run_until("running")
    before = len(robot.commands)
    for _ in range(25):
        robot.tick()
    assert len(robot.commands) - before == 25
    stamps = [conversions.to_seconds(message.header.stamp) for message in robot.commands[before:]]
    np.testing.assert_allclose(np.diff(stamps), PERIOD, atol=1e-6)
    command = robot.commands[-1]
    assert tuple(command.joint_names) == PROFILE.joint_names
    assert len(command.points) == 2
    assert all(len(point.positions) == len(point.velocities) == 7 for point in command.points)
    assert robot.sent[-1] == command
    status = robot.status()
    assert int(status["steps"]) >= 25
    assert float(status["latency_ms.inverse_kinematics"]) > 0
    assert float(status["sensor_to_command_ms"]) > 0


def test_it_reaches_the_goal(robot):
    from her_robot.robot.kinematics import Kinematics

    robot.run_until("running")
    for _ in range(CONTRACT.episode_steps):
        robot.tick()
    position, _ = Kinematics(PROFILE).forward(robot.joints)
    assert np.linalg.norm(position - GOAL) < CONTRACT.success_distance


def test_nothing_moves_before_it_is_activated(node_and_robot):
    _, robot = node_and_robot
    before = len(robot.commands)
    robot.time = round(robot.time + PERIOD, 6)
    robot.clock.publish(Clock(clock=conversions.to_stamp(robot.time)))
    settle = time.monotonic() + 0.3
    while time.monotonic() < settle:
        robot.executor.spin_once(timeout_sec=0.02)
    assert len(robot.commands) == before


def test_reordered_and_further_joints(robot):
    robot.run_until("running")
    for _ in range(10):
        positions = dict(zip(NAMES, [*robot.joints, 0.0, 0.0], strict=True)) | {"bellows_joint": 3.0}
        names = sorted(positions)
        assert robot.tick(names=names, positions=[positions[name] for name in names])["phase"] == "running"


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"measure": False}, "joint states are"),
        ({"positions": [float("nan"), *[0.0] * 8]}, "joint states are not finite: shoulder_pan_joint"),
        ({"names": NAMES[1:], "positions": [0.0] * 8}, "joint states lack shoulder_pan_joint"),
        ({"goal": GOAL + [0.4, 0.0, 0.0]}, "lies outside of the workspace"),
    ],
    ids=["stale", "not finite", "missing joint", "goal outside"],
)
def test_bad_input_holds_and_good_input_goes_on(robot, inputs, reason):
    robot.run_until("running")
    status = robot.run_until("holding", **inputs)
    assert reason in status["reason"]
    for _ in range(15):
        status = robot.tick(**inputs)
    assert status["phase"] == "holding"
    assert int(status["holds"]) >= 1
    _assert_at_rest(robot)
    assert robot.statuses[-1].status[0].level == b"\x01"
    robot.run_until("running")


def test_a_goal_that_is_not_finite_is_ignored(robot):
    robot.run_until("running")
    assert robot.tick(goal=np.array([np.nan, 0.0, 0.0]))["phase"] == "running"


def test_stop_is_latched_until_rearm(robot):
    robot.run_until("running")
    assert robot.call(robot.triggers["stop"], Trigger.Request()).success
    for _ in range(15):
        status = robot.tick()
    assert status["phase"] == "stopped"
    assert "rearm" in status["reason"]
    assert status["estops"] == "1"
    _assert_at_rest(robot)
    assert robot.commands[-1].header.stamp == Time(), "a brake begins on arrival, whatever the clocks say"
    robot.deactivate()
    robot.activate()
    assert robot.tick()["phase"] == "stopped"
    assert robot.call(robot.triggers["rearm"], Trigger.Request()).success
    assert not robot.call(robot.triggers["rearm"], Trigger.Request()).success
    robot.run_until("running")


def test_a_clock_that_stands_still_is_reported(robot):
    robot.tick()
    robot.statuses.clear()
    robot.wait(lambda: any("clock stands still" in s.status[0].message for s in robot.statuses), seconds=5)


def test_deactivating_brakes(robot):
    robot.run_until("running")
    robot.tick()
    before = len(robot.commands)
    robot.deactivate()
    robot.wait(lambda: len(robot.commands) > before)
    np.testing.assert_allclose(robot.commands[-1].points[-1].velocities, 0.0)
    assert robot.commands[-1].header.stamp == Time()
    robot.activate()


def test_a_refused_configuration_is_a_failed_transition(tmp_path, other_domain):
    damaged = tmp_path / "policy"
    shutil.copytree(shipped_bundle("fetch_reach"), damaged)
    weights = damaged / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    parameters = "task:=fetch_reach", f"policy:={damaged}"
    process = subprocess.Popen(_command(*parameters), env=_environment(other_domain), stderr=subprocess.PIPE, text=True)
    robot = Robot(other_domain)
    try:
        assert not robot.transition(Transition.TRANSITION_CONFIGURE)
        assert not robot.transition(Transition.TRANSITION_ACTIVATE)
        assert not robot.commands
    finally:
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=10)[1]
        robot.context.shutdown()
    assert "refusing to configure" in errors
    assert str(damaged) in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_brakes_a_moving_arm(number, other_domain):
    process = subprocess.Popen(_command("task:=fetch_reach", "use_sim_time:=true"), env=_environment(other_domain))
    robot = Robot(other_domain)
    try:
        robot.meet()
        robot.clock.publish(Clock())
        assert robot.transition(Transition.TRANSITION_CONFIGURE)
        robot.activate()
        robot.joints = robot.joints + 0.5
        for _ in range(8):
            robot.tick()
        moving = np.array(robot.commands[-1].points[0].velocities)
        assert np.abs(moving).max() > 0.3
        before = len(robot.commands)
        process.send_signal(number)
        robot.wait(lambda: len(robot.commands) > before)
        assert process.wait(10) == 0
        assert len(robot.commands) == before + 1
        last = robot.commands[-1]
        assert (np.abs(last.points[0].velocities) <= np.abs(moving) + 1e-9).all()
        np.testing.assert_allclose(last.points[-1].velocities, 0.0)
    finally:
        process.kill()
        robot.context.shutdown()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            ["task:=fetch_push", f"policy:={shipped_bundle('fetch_reach')}"],
            "a policy for fetch_reach, not for fetch_push",
        ),
        (["task:=fetch_reach", "policy:=/nowhere"], "a policy bundle is a folder"),
        (["task:=fetch_reac"], "unknown task 'fetch_reac'; did you mean 'fetch_reach'"),
        (["task:=fetch_reach", "robot:=ur5"], "unknown robot 'ur5'"),
        (
            ["task:=fetch_reach", "input_reliability:=sure"],
            "unknown input_reliability 'sure'; valid: best_effort, reliable",
        ),
        (["task:=fetch_reach", "calibration:=nowhere"], "unknown calibration 'nowhere'"),
    ],
)
def test_what_it_refuses_to_configure(parameters, message, other_domain):
    result = _autostarted(*parameters, domain=other_domain)
    assert result.returncode == 1
    output = result.stdout + result.stderr
    assert "refusing to configure" in output
    assert message in output
    assert "Traceback" not in result.stderr


def test_what_it_did_not_expect_is_in_its_log(tmp_path, other_domain):
    profile = named_file("config/robots", "fetch", "robot").read_text() + "topics: {goal_pose: not-a-topic}\n"
    (tmp_path / "robot.yaml").write_text(profile)
    result = _autostarted("task:=fetch_reach", f"robot:={tmp_path}/robot.yaml", domain=other_domain)
    assert result.returncode == 1
    output = result.stdout + result.stderr
    assert "on_configure failed" in output
    assert "InvalidTopicNameException" in output
