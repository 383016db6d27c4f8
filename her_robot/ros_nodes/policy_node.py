"""ROS 2 lifecycle node: a policy drives an arm or a hand. Topics, parameters and lifecycle: docs/policy_node.md."""

import json
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial, wraps
from typing import TypeVar, cast

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Pose, PoseArray, PoseStamped, PoseWithCovarianceStamped
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from her_robot.contract import contract_of
from her_robot.errors import HerRobotError
from her_robot.policy.bundle import shipped_bundle
from her_robot.robot.arm_controller import ArmController
from her_robot.robot.controller import PolicyController, load_controller
from her_robot.robot.hand_controller import HandController
from her_robot.robot.joint_controller import Command
from her_robot.robot.setup import default_setup
from her_robot.robot.timing import LoopTiming
from her_robot.ros_nodes import conversions
from her_robot.ros_nodes.running import reliability

Converted = TypeVar("Converted")
Transition = TypeVar("Transition", bound=Callable[..., TransitionCallbackReturn])

_WATCHDOG_PERIOD_S = 1.0
_SIGNAL_PERIOD_S = 0.1
"""Signals are looked for this often, or after every callback."""
_ON_ARRIVAL = Time()
"""Stamp of a trajectory that begins when it arrives. One that brakes must not wait for a time that comes late, or is
over, on the clock of the arm's controller."""
_LAST_COMMAND_TIMEOUT_S = 0.5
"""The last command is given this long to arrive."""


def _told(transition: Transition) -> Transition:
    """The transition, but what it raises is logged. rclpy makes an ERROR of an exception, and says nothing of it."""

    @wraps(transition)
    def told(self: "PolicyNode", state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception:
            self.get_logger().error(f"{transition.__name__} failed:\n{traceback.format_exc()}")
            raise

    return cast(Transition, told)


class PolicyNode(LifecycleNode):
    """Configure loads and checks everything, activate homes the arm and runs the policy, deactivate holds it."""

    _controller: PolicyController
    """There from configure on, as is everything that it makes."""

    def __init__(self) -> None:
        super().__init__("policy_node")
        self.declare_parameter("task", "fetch_push")
        self.declare_parameter("policy", "")
        self.declare_parameter("calibration", "")
        self.declare_parameter("robot", "")
        self.declare_parameter("autostart", False)
        self.declare_parameter("input_reliability", "best_effort")
        self._active = False

    @_told
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._controller = self._load()
            self._reliability = reliability("input_reliability", self.get_parameter("input_reliability").value)
        except (HerRobotError, InvalidParameterTypeException) as error:
            self.get_logger().error(f"refusing to configure: {error}")
            return TransitionCallbackReturn.FAILURE
        self._make_interface(self._controller)
        contract = self._controller.contract
        self.get_logger().info(f"policy for {contract.task} on {self._controller.profile.name}: ready")
        return super().on_configure(state)

    @_told
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._controller.forget()
        self._timing.reset()
        self._active = True
        return super().on_activate(state)

    @_told
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._active = False
        self._send(self._controller.hold(), self.get_clock().now().to_msg())
        return super().on_deactivate(state)

    @_told
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._destroy_interface()
        return super().on_cleanup(state)

    @_told
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.come_to_rest()
        return super().on_shutdown(state)

    def come_to_rest(self) -> None:
        """Send a last command that brakes, if the arm may be moving."""
        if self._active:
            self._active = False
            self._send(self._controller.hold(), self.get_clock().now().to_msg())
            for publisher in self._trajectories.values():
                publisher.wait_for_all_acked(Duration(seconds=_LAST_COMMAND_TIMEOUT_S))

    def _load(self) -> PolicyController:
        def value(name: str) -> str:
            return self.get_parameter(name).value

        task = value("task")
        default = default_setup(contract_of(task))
        robot, calibration = value("robot") or default.robot, value("calibration") or default.calibration
        return load_controller(task, value("policy") or shipped_bundle(task), robot, calibration)

    def _make_interface(self, controller: PolicyController) -> None:
        topics, period = controller.profile.topics, controller.contract.control_period
        # Plain publishers: those of a lifecycle node are silent when it is inactive, and a hold must get through.
        self._trajectories = {
            topic: self.create_publisher(JointTrajectory, topic, 10) for topic in controller.trajectory_topics
        }
        self._gripper = None
        if not isinstance(controller, HandController):
            self._gripper = self.create_publisher(Float64, controller.profile.topics.gripper_command, 10)
        self._sent = self.create_publisher(JointTrajectory, "~/command_sent", 10)
        self._status = self.create_publisher(DiagnosticArray, "~/status", 10)
        poses = QoSProfile(depth=5, reliability=self._reliability)
        # The newest joint states alone: older ones in a queue would be taken after the tick that needs them.
        newest = QoSProfile(depth=1, reliability=self._reliability)
        self._inputs = [
            self.create_subscription(JointState, topics.joint_states, self._on_joint_states, newest),
            *self._subscriptions_to_goals(controller, poses),
        ]
        self._interface_services = [
            self.create_service(Trigger, "~/stop", self._on_stop),
            self.create_service(Trigger, "~/rearm", self._on_rearm),
            self.create_service(Trigger, "~/received", self._on_received),
        ]
        self._timing = LoopTiming(period)
        self._received: dict[str, float] = {}
        self._ticks_seen = self._ticks = 0
        self._joint_states_arrived = time.perf_counter()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            self.create_timer(period, self._on_tick),
            self.create_timer(_WATCHDOG_PERIOD_S, self._on_watchdog, clock=steady),
        ]

    def _subscriptions_to_goals(self, controller: PolicyController, qos: QoSProfile) -> list[Subscription]:
        """Of a hand's fingertips or object; of an arm's tool or object, which a camera sees."""
        if isinstance(controller, HandController):
            return self._subscriptions_of_hand(controller, qos)
        topics = controller.profile.topics
        receivers = {topics.object_pose: self._on_object, topics.goal_pose: self._on_goal}
        return [
            self.create_subscription(PoseWithCovarianceStamped, topic, partial(receive, controller), qos)
            for topic, receive in receivers.items()
        ]

    def _subscriptions_of_hand(self, controller: HandController, qos: QoSProfile) -> list[Subscription]:
        topics = controller.profile.topics
        # Whoever sends a goal once wants it to arrive.
        if not controller.contract.has_object:
            receive = partial(self._on_fingertip_goals, controller)
            return [self.create_subscription(PoseArray, topics.fingertip_goals, receive, 10)]
        receive, receive_goal = partial(self._on_hand_object, controller), partial(self._on_object_goal, controller)
        return [
            self.create_subscription(PoseWithCovarianceStamped, topics.object_pose, receive, qos),
            self.create_subscription(PoseStamped, topics.object_goal, receive_goal, 10),
        ]

    def _destroy_interface(self) -> None:
        for timer in self._timers:
            self.destroy_timer(timer)
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        for service in self._interface_services:
            self.destroy_service(service)
        for publisher in (*self._trajectories.values(), self._gripper, self._sent, self._status):
            if publisher is not None:
                self.destroy_publisher(publisher)

    def _on_joint_states(self, message: JointState) -> None:
        self._joint_states_arrived = time.perf_counter()
        stamp = self._received["joint_states"] = conversions.to_seconds(message.header.stamp)
        self._controller.measured.observe_joints(stamp, list(message.name), message.position, message.velocity)

    def _on_object(self, controller: ArmController, message: PoseWithCovarianceStamped) -> None:
        stamp = self._received["object"] = conversions.to_seconds(message.header.stamp)
        if (pose := self._understood("object pose", conversions.pose_to_numpy, message.pose.pose)) is not None:
            controller.measured.observe_object(stamp, *pose)

    def _on_hand_object(self, controller: HandController, message: PoseWithCovarianceStamped) -> None:
        stamp = self._received["object"] = conversions.to_seconds(message.header.stamp)
        if (pose := self._understood("object pose", conversions.pose_to_numpy, message.pose.pose)) is not None:
            controller.measured.observe_object(stamp, message.header.frame_id, *pose)

    def _on_object_goal(self, controller: HandController, message: PoseStamped) -> None:
        stamp = self._received["goal"] = conversions.to_seconds(message.header.stamp)
        if (pose := self._understood("object goal", conversions.pose_vector, message.pose)) is not None:
            controller.measured.observe_object_goal(stamp, message.header.frame_id, pose)

    def _understood(self, what: str, convert: Callable[[Pose], Converted], pose: Pose) -> Converted | None:
        """A pose as numpy has it; None, after a warning, where its quaternion is none."""
        try:
            return convert(pose)
        except ValueError as error:
            self.get_logger().warning(f"{what} refused: {error}", throttle_duration_sec=2.0)
            return None

    def _on_goal(self, controller: ArmController, message: PoseWithCovarianceStamped) -> None:
        point = message.pose.pose.position
        stamp = self._received["goal"] = conversions.to_seconds(message.header.stamp)
        controller.measured.observe_goal(stamp, np.array([point.x, point.y, point.z]))

    def _on_fingertip_goals(self, controller: HandController, message: PoseArray) -> None:
        stamp = self._received["goal"] = conversions.to_seconds(message.header.stamp)
        controller.measured.observe_fingertip_goals(
            stamp, message.header.frame_id, conversions.points_to_numpy(message)
        )

    def _on_tick(self) -> None:
        self._ticks += 1
        if not self._active:
            return
        begun = time.perf_counter()
        now = self.get_clock().now()
        seconds = now.nanoseconds * 1e-9
        command = self._controller.tick(seconds)
        self._send(command, now.to_msg())
        finished = time.perf_counter()
        self._timing.record(begun, finished, finished - self._joint_states_arrived)
        self._publish_status(command, now.to_msg(), seconds)

    def _send(self, command: Command, stamp) -> None:
        if command.joints is None:
            return
        joints, names = command.joints, self._controller.joint_names
        if command.brakes:
            stamp = _ON_ARRIVAL

        def trajectory(columns: slice) -> JointTrajectory:
            positions, velocities = joints.positions[:, columns], joints.velocities[:, columns]
            return conversions.joint_trajectory(names[columns], joints.times, positions, velocities, stamp)

        # Trajectories last: a robot that has them has the gripper's command too.
        if self._gripper is not None and command.gripper_gap is not None:
            self._gripper.publish(Float64(data=command.gripper_gap))
        for topic, columns in self._controller.trajectory_topics.items():
            self._trajectories[topic].publish(trajectory(columns))
        self._sent.publish(trajectory(slice(None)))

    def _publish_status(self, command: Command, stamp, now: float) -> None:
        controller = self._controller
        stages = {f"latency_ms.{stage}": f"{value:.3f}" for stage, value in command.latency_ms.items()}
        ages = {f"{name}_age_s": f"{age:.3f}" for name, age in controller.measured.ages(now).items()}
        values = {
            "phase": command.phase,
            "reason": command.reason,
            "sent": "nothing" if command.joints is None else "brake" if command.brakes else "motion",
            "steps": controller.steps,
            "clamped": controller.safety.clamped,
            "holds": controller.holds,
            "estops": controller.safety.stops,
            "deadline_misses": self._timing.deadline_misses,
            **ages,
            **stages,
            "latency_ms.total": f"{self._timing.computing_ms:.3f}",
            "sensor_to_command_ms": f"{self._timing.sensor_to_command_ms:.3f}",
        }
        level = DiagnosticStatus.WARN if command.phase in ("holding", "stopped") else DiagnosticStatus.OK
        message = f"{command.phase}: {command.reason}" if command.reason else command.phase
        self._status.publish(conversions.diagnostics("policy_node", stamp, values, message, level))
        if command.phase in ("holding", "stopped"):
            self.get_logger().warning(message, throttle_duration_sec=2.0)

    def _on_watchdog(self) -> None:
        """On a steady clock: a ROS clock that stands still fires no timer, and says nothing."""
        if self._active and self._ticks == self._ticks_seen:
            message = f"the clock stands still: no control tick for {_WATCHDOG_PERIOD_S:g} s"
            if self.get_parameter("use_sim_time").value:
                message += "; use_sim_time is set, does anything publish /clock?"
            self.get_logger().warning(message)
            values = {"phase": "waiting", "reason": message}
            stamp = self.get_clock().now().to_msg()
            stale = DiagnosticStatus.STALE
            self._status.publish(conversions.diagnostics("policy_node", stamp, values, message, stale))
        self._ticks_seen = self._ticks

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._controller.stop("stop was requested; call ~/rearm to go on")
        response.success, response.message = True, "stopped"
        return response

    def _on_rearm(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self._controller.stopped:
            response.success, response.message = False, "not stopped"
            return response
        self._controller.rearm()
        response.success, response.message = True, "re-armed"
        return response

    def _on_received(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, json.dumps(self._received)
        return response


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; 1 if it was to start by itself and could not."""
    # rclpy's own handlers shut the context down at once, and nothing could be sent any more.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    node = PolicyNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value:
            started = node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            if not started or node.trigger_activate() != TransitionCallbackReturn.SUCCESS:
                return 1
        while not interrupted.is_set():
            executor.spin_once(timeout_sec=_SIGNAL_PERIOD_S)
    finally:
        node.come_to_rest()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
