"""ROS 2 node: a simulated Fetch or Shadow Hand on its topics. Topics, services, parameters: docs/simulated_robot.md."""

import json
import sys
import time
from functools import partial

from geometry_msgs.msg import PoseArray, PoseStamped
from rcl_interfaces.msg import IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from her_robot.contract import contract_of
from her_robot.errors import ConfigurationError, HerRobotError
from her_robot.robot.setup import default_setup
from her_robot.ros_nodes import conversions
from her_robot.ros_nodes.running import run
from her_robot.sim.block_hand import BlockHand
from her_robot.sim.faults import FaultySensors, parse_faults
from her_robot.sim.hand_robot import FingertipTruth, ObjectTruth, ReachingHand
from her_robot.sim.machine import JointMeasurement, camera_frame, camera_topic
from her_robot.sim.pacing import Pacer
from her_robot.sim.robot import GroundTruth, SimulatedRobot
from her_robot.sim.sensors import CameraImage, SensorStream
from her_robot.sim.simulated_robot import simulated_robot

_MODES = ("real_time", "lockstep")
_PACING_PERIOD_S = 0.005
_LARGEST_SEED = 2**63 - 1
_NO_TURN = (1.0, 0.0, 0.0, 0.0)


class SimRobotNode(Node):
    """Publishes what a robot's sensors tell, and obeys its controllers' topics."""

    def __init__(self) -> None:
        """Read the parameters and build the scene.

        Raises:
            HerRobotError: an unknown task, robot or mode, an impossible severity, or no OpenGL to render with.
        """
        super().__init__("sim_robot_node")
        task = self.declare_parameter("task", "fetch_push").value
        severity = self.declare_parameter("severity", 1.0).value
        name = self.declare_parameter("simulated_robot", default_setup(contract_of(task)).simulated_robot).value
        mode = self.declare_parameter("mode", "real_time").value
        publish_clock = self.declare_parameter("publish_clock", False).value
        seeds = IntegerRange(from_value=0, to_value=_LARGEST_SEED, step=1)
        self.declare_parameter("episode_seed", 0, ParameterDescriptor(integer_range=[seeds]))
        if mode not in _MODES:
            raise ConfigurationError(f"parameter mode is {mode!r}; valid: {', '.join(_MODES)}")
        if publish_clock and mode == "lockstep":
            raise ConfigurationError("parameter publish_clock: in lockstep, whoever calls ~/step publishes /clock")

        self._robot = simulated_robot(name, task, severity, self._seed())
        for camera in self._robot.cameras:
            self._robot.render(camera)  # The first image takes long, and tells whether there will be any.
        self._sensors = SensorStream(self._robot, real_time=mode == "real_time")
        self._faults = FaultySensors(self._robot)
        self._commands_refused = 0
        self._sent_s: dict[str, float] = {"joint_states": 0.0}
        """Stamps of the newest messages for the policy node, which it has to have got before it acts."""
        self._clock_publisher = self.create_publisher(ClockMessage, "/clock", 10) if publish_clock else None
        self._pacer = Pacer(time.time(), self._robot.time)
        self._robot_makes_time = publish_clock or mode == "lockstep"
        self._make_interface()
        self.declare_parameter("faults", "")
        self.add_on_set_parameters_callback(self._on_parameters)
        if mode == "lockstep":
            self.create_service(Trigger, "~/step", self._on_step)
        else:
            self.create_timer(_PACING_PERIOD_S, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f"simulated robot for {task}, {mode.replace('_', ' ')}")

    def _make_interface(self) -> None:
        robot = self._robot
        self._joint_states = self.create_publisher(JointState, robot.profile.topics.joint_states, 10)
        self._images, self._camera_infos = {}, {}
        for camera in robot.cameras:
            topic = camera_topic(camera)
            self._images[camera] = self.create_publisher(Image, f"{topic}/image_raw", 5)
            self._camera_infos[camera] = self.create_publisher(CameraInfo, f"{topic}/camera_info", 5)
        self._references = {}
        for topic in robot.trajectory_topics:
            self._references[topic] = self.create_publisher(JointState, conversions.reference_topic(topic), 10)
            self.create_subscription(JointTrajectory, topic, partial(self._on_trajectory, topic), 10)
        self._publish = {JointMeasurement: self._publish_joint_state, CameraImage: self._publish_image}
        if isinstance(robot, BlockHand):
            self._object_goals = self.create_publisher(PoseStamped, robot.profile.topics.object_goal, 10)
            self._truths = self._truth_publishers(PoseStamped, "object_pose", "object_goal")
            self._truths |= self._truth_publishers(PoseArray, "fingertips")
            self._publish[ObjectTruth] = partial(self._publish_object, robot)
        elif isinstance(robot, ReachingHand):
            self._fingertip_goals = self.create_publisher(PoseArray, robot.profile.topics.fingertip_goals, 10)
            self._truths = self._truth_publishers(PoseArray, "fingertips", "fingertip_goals")
            self._publish[FingertipTruth] = partial(self._publish_fingertips, robot)
        elif isinstance(robot, SimulatedRobot):
            objects = ("object_pose",) if robot.contract.has_object else ()
            self._truths = self._truth_publishers(PoseStamped, *objects, "goal_pose", "grip_pose")
            self._publish[GroundTruth] = self._publish_ground_truth
            self.create_subscription(
                Float64, robot.profile.topics.gripper_command, partial(self._on_gripper, robot), 10
            )
        self.create_service(Trigger, "~/reset", self._on_reset)

    def _truth_publishers(self, message_type: type, *names: str) -> dict[str, Publisher]:
        return {name: self.create_publisher(message_type, f"~/ground_truth/{name}", 10) for name in names}

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "faults":
                try:
                    self._faults.begin(parse_faults(parameter.value))
                except HerRobotError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _seed(self) -> int:
        return self.get_parameter("episode_seed").value

    def _offset(self) -> float:
        """ROS time when the robot's clock was 0 [s]: 0 where ROS time is the robot's."""
        return 0.0 if self._robot_makes_time else self._pacer.offset

    def _stamp(self, robot_time: float):
        return conversions.to_stamp(robot_time + self._offset())

    def _on_timer(self) -> None:
        slips = self._pacer.slips
        self._advance(self._pacer.due(time.time(), self._robot.time))
        if self._pacer.slips > slips:
            self.get_logger().warning(
                f"this machine does not keep up with real time, or its clock was set: {self._pacer.slips} times so far",
                throttle_duration_sec=5.0,
            )
        if self._clock_publisher is not None:
            self._clock_publisher.publish(ClockMessage(clock=self._stamp(self._robot.time)))

    def _on_step(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        images = self._advance(self._robot.contract.control_period)
        return self._reply(response, images=images, **{f"{name}_s": stamp for name, stamp in self._sent_s.items()})

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = self._seed()
        self._sensors.reset(seed)
        self._faults.reset()
        return self._reply(response, seed=seed)

    def _reply(self, response: Trigger.Response, **values: float) -> Trigger.Response:
        values = {"time_s": self._robot.time + self._offset(), **values, "commands_refused": self._commands_refused}
        response.success, response.message = True, json.dumps(values)
        return response

    def _advance(self, duration: float) -> int:
        """Let time pass [s], publishing what the sensors report; returns the number of images."""
        images = 0
        for report in self._faults.reports(self._sensors.advance(duration)):
            self._publish[type(report)](report)
            images += isinstance(report, CameraImage)
        return images

    def _publish_joint_state(self, measured: JointMeasurement) -> None:
        stamp = self._stamp(measured.time)
        self._sent_s["joint_states"] = conversions.to_seconds(stamp)
        self._joint_states.publish(
            conversions.joint_state(measured.names, measured.positions, measured.velocities, stamp)
        )

    def _publish_image(self, image: CameraImage) -> None:
        stamp, matrix = self._stamp(image.time), self._robot.camera_intrinsics(image.camera)
        height, width, _ = image.pixels.shape
        frame = camera_frame(image.camera)
        self._images[image.camera].publish(conversions.image_message(image.pixels, stamp, frame))
        self._camera_infos[image.camera].publish(conversions.camera_info(matrix, width, height, stamp, frame))

    def _publish_ground_truth(self, truth: GroundTruth) -> None:
        stamp = self._stamp(truth.time)
        poses = {
            "object_pose": (truth.object_position, truth.object_quaternion),
            "goal_pose": (truth.goal, _NO_TURN),
            "grip_pose": (truth.grip_position, truth.grip_quaternion),
        }
        for name, publisher in self._truths.items():
            publisher.publish(conversions.pose_stamped("world", stamp, *poses[name]))

    def _publish_object(self, robot: BlockHand, truth: ObjectTruth) -> None:
        """The truth, and the goal as a planner sends it to the hand."""
        stamp = self._stamp(truth.time)
        for name, pose in (("object_pose", truth.achieved), ("object_goal", truth.goal)):
            self._truths[name].publish(conversions.pose_stamped("world", stamp, pose[:3], pose[3:]))
        self._truths["fingertips"].publish(conversions.points("world", stamp, truth.fingertips))
        self._object_goals.publish(conversions.pose_stamped(robot.profile.base_frame, stamp, *robot.object_goal()))
        self._sent_s["goal"] = conversions.to_seconds(stamp)

    def _publish_fingertips(self, robot: ReachingHand, truth: FingertipTruth) -> None:
        """The truth, and the goal as a planner sends it to the hand."""
        stamp = self._stamp(truth.time)
        for name, positions in (("fingertips", truth.achieved), ("fingertip_goals", truth.goal)):
            self._truths[name].publish(conversions.points("world", stamp, positions))
        goals = conversions.points(robot.profile.base_frame, stamp, robot.fingertip_goals())
        self._fingertip_goals.publish(goals)
        self._sent_s["goal"] = conversions.to_seconds(stamp)

    def _on_trajectory(self, topic: str, message: JointTrajectory) -> None:
        try:
            trajectory = conversions.joint_trajectory_to_numpy(message)
            stamp = conversions.to_seconds(message.header.stamp)
            start = stamp - self._offset() if stamp else self._robot.time
            reference = self._robot.command(
                topic, trajectory.joint_names, start + trajectory.times, trajectory.positions, trajectory.velocities
            )
        except ValueError as error:
            self._refuse("trajectory", error)
            return
        names = self._robot.trajectory_topics[topic]
        self._references[topic].publish(conversions.joint_state(names, reference, None, message.header.stamp))

    def _on_gripper(self, robot: SimulatedRobot, message: Float64) -> None:
        try:
            robot.command_gripper(message.data)
        except ValueError as error:
            self._refuse("gripper command", error)

    def _refuse(self, command: str, error: ValueError) -> None:
        self._commands_refused += 1
        self.get_logger().warning(
            f"{command} refused ({self._commands_refused} commands so far), the robot holds to the last one: {error}"
        )


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; 1 if it could not start."""
    return run("sim_robot_node", SimRobotNode, args)


if __name__ == "__main__":
    sys.exit(main())
