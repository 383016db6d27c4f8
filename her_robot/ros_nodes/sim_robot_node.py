"""ROS 2 node: a simulated Fetch on a Fetch's topics. Topics, services and parameters: docs/simulated_robot.md."""

import json
import sys
import time

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from her_robot.errors import ConfigurationError, HerRobotError
from her_robot.robot.calibration import load_calibration
from her_robot.ros_nodes import conversions
from her_robot.ros_nodes.running import run
from her_robot.sim.faults import FaultySensors, parse_faults
from her_robot.sim.pacing import Pacer
from her_robot.sim.robot import GroundTruth, JointMeasurement, SimulatedRobot, load_simulated_robot
from her_robot.sim.sensors import CameraImage, SensorStream

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
        config = load_simulated_robot(self.declare_parameter("simulated_robot", "fetch").value, severity)
        mode = self.declare_parameter("mode", "real_time").value
        publish_clock = self.declare_parameter("publish_clock", False).value
        seeds = IntegerRange(from_value=0, to_value=_LARGEST_SEED, step=1)
        self.declare_parameter("episode_seed", 0, ParameterDescriptor(integer_range=[seeds]))
        if mode not in _MODES:
            raise ConfigurationError(f"parameter mode is {mode!r}; valid: {', '.join(_MODES)}")
        if publish_clock and mode == "lockstep":
            raise ConfigurationError("parameter publish_clock: in lockstep, whoever calls ~/step publishes /clock")

        self._robot = SimulatedRobot(config, task, self._seed())
        self._robot.render()  # The first image takes long, and tells whether there will be any.
        self._sensors = SensorStream(self._robot, real_time=mode == "real_time")
        self._faults = FaultySensors(self._robot)
        self._frame = load_calibration(config.calibration, task).hand_eye.camera_frame
        self._commands_refused = 0
        self._joint_states_stamp = 0.0
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
        topics = self._robot.profile.topics
        self._joint_states = self.create_publisher(JointState, topics.joint_states, 10)
        self._images = self.create_publisher(Image, "head_camera/rgb/image_raw", 5)
        self._camera_infos = self.create_publisher(CameraInfo, "head_camera/rgb/camera_info", 5)
        self._references = self.create_publisher(JointState, "arm_controller/reference", 10)
        self._truths = {
            name: self.create_publisher(PoseStamped, f"~/ground_truth/{name}_pose", 10)
            for name in (("object",) if self._robot.contract.has_object else ()) + ("goal", "grip")
        }
        self._publish = {
            JointMeasurement: self._publish_joint_state,
            CameraImage: self._publish_image,
            GroundTruth: self._publish_ground_truth,
        }
        self.create_subscription(JointTrajectory, topics.joint_trajectory, self._on_trajectory, 10)
        self.create_subscription(Float64, topics.gripper_command, self._on_gripper, 10)
        self.create_service(Trigger, "~/reset", self._on_reset)

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
        return self._reply(response, images=images, joint_states_s=self._joint_states_stamp)

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
        self._joint_states_stamp = conversions.to_seconds(stamp)
        self._joint_states.publish(
            conversions.joint_state(measured.names, measured.positions, measured.velocities, stamp)
        )

    def _publish_image(self, image: CameraImage) -> None:
        stamp, matrix = self._stamp(image.time), self._robot.camera_intrinsics()
        height, width, _ = image.pixels.shape
        self._images.publish(conversions.image_message(image.pixels, stamp, self._frame))
        self._camera_infos.publish(conversions.camera_info(matrix, width, height, stamp, self._frame))

    def _publish_ground_truth(self, truth: GroundTruth) -> None:
        stamp = self._stamp(truth.time)
        poses = {
            "object": (truth.object_position, truth.object_quaternion),
            "goal": (truth.goal, _NO_TURN),
            "grip": (truth.grip_position, truth.grip_quaternion),
        }
        for name, publisher in self._truths.items():
            publisher.publish(conversions.pose_stamped("world", stamp, *poses[name]))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        try:
            trajectory = conversions.joint_trajectory_to_numpy(message)
            stamp = conversions.to_seconds(message.header.stamp)
            start = stamp - self._offset() if stamp else self._robot.time
            reference = self._robot.command_arm(
                trajectory.joint_names, start + trajectory.times, trajectory.positions, trajectory.velocities
            )
        except ValueError as error:
            self._refuse("trajectory", error)
            return
        names = self._robot.profile.joint_names
        self._references.publish(conversions.joint_state(names, reference, None, message.header.stamp))

    def _on_gripper(self, message: Float64) -> None:
        try:
            self._robot.command_gripper(message.data)
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
