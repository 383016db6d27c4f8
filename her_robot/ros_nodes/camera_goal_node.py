"""ROS 2 node: camera images in, object and goal poses out. Topics and parameters: docs/camera.md."""

import sys
from collections.abc import Mapping

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from her_robot.contract import contract_of
from her_robot.robot.calibration import load_calibration
from her_robot.robot.scene_estimate import EstimatorConfig, SceneEstimator
from her_robot.ros_nodes import conversions
from her_robot.ros_nodes.running import declared, image_qos, run


class CameraGoalNode(Node):
    """Publishes where the object and the goal are, and for every image what became of it."""

    def __init__(self) -> None:
        """Read the parameters and the calibration.

        Raises:
            HerRobotError: an unknown task or calibration, or a calibration that cannot be used.
        """
        super().__init__("camera_goal_node")
        contract = contract_of(self.declare_parameter("task", "fetch_push").value)
        calibration = load_calibration(self.declare_parameter("calibration", "fetch_sim").value, contract.task)
        self._check_head = self.declare_parameter("check_head", True).value
        self._image_timeout = self.declare_parameter("image_timeout", 0.5).value
        self._estimator = SceneEstimator(calibration, contract, declared(self, "estimator", EstimatorConfig()))
        self._frame = calibration.hand_eye.parent_frame
        self._joint_positions: dict[str, float] = {}

        self._object_publisher = self._pose_publisher("object_pose")
        self._goal_publisher = self._pose_publisher("goal_pose")
        self._status = self.create_publisher(DiagnosticArray, "~/status", 10)
        image_topic = self._topic("image", "head_camera/rgb/image_raw")
        self.create_subscription(Image, image_topic, self._on_image, image_qos(self))
        joint_topic = self._topic("joint_states", "joint_states")
        self.create_subscription(JointState, joint_topic, self._on_joint_states, qos_profile_sensor_data)
        self.create_service(Trigger, "~/reset", self._on_reset)
        # On a steady clock: simulated time stands still when the simulation does.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._watchdog = self.create_timer(self._image_timeout, self._on_silence, clock=self._steady_clock)
        self._silence = f"no image on {image_topic} for {self._image_timeout:g} s"
        self.get_logger().info(f"looking for {' and '.join(self._estimator.counts)} on {image_topic}")

    def _topic(self, name: str, default: str) -> str:
        return self.declare_parameter(f"topics.{name}", default).value

    def _pose_publisher(self, name: str) -> Publisher:
        return self.create_publisher(PoseWithCovarianceStamped, self._topic(name, name), 10)

    def _on_joint_states(self, message: JointState) -> None:
        self._joint_positions.update(zip(message.name, message.position, strict=False))

    def _on_image(self, message: Image) -> None:
        self._watchdog.reset()
        time = conversions.to_seconds(message.header.stamp)
        try:
            image = conversions.image_to_numpy(message)
        except ValueError as error:
            self.get_logger().warning(f"image refused: {error}", throttle_duration_sec=5.0)
            estimate = self._estimator.refuse(time, "image not readable")
        else:
            joint_positions = self._joint_positions if self._check_head else None
            estimate = self._estimator.process(image, time, joint_positions)
        # The status comes last: whoever has it has the poses of its image too.
        for pose, publisher in ((estimate.object, self._object_publisher), (estimate.goal, self._goal_publisher)):
            if pose is not None:
                publisher.publish(
                    conversions.pose_with_covariance(
                        self._frame, message.header.stamp, pose.position, pose.rotation, pose.covariance
                    )
                )
        values = estimate.outcomes | self._estimator.tally() | {"processing_ms": f"{1e3 * estimate.processing_s:.3f}"}
        level = DiagnosticStatus.ERROR if estimate.problem else DiagnosticStatus.OK
        self._report(message.header.stamp, values, estimate.summary, level)

    def _on_silence(self) -> None:
        # Stamped zero: it belongs to no image, and no one who waits for an image's status may take it for that.
        self._report(conversions.to_stamp(0.0), self._estimator.tally(), self._silence, DiagnosticStatus.STALE)
        self.get_logger().warning(self._silence, throttle_duration_sec=5.0)

    def _report(self, stamp: Time, values: Mapping[str, object], message: str, level: bytes) -> None:
        self._status.publish(conversions.diagnostics("camera_goal_node", stamp, values, message, level))

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._estimator.reset()
        response.success, response.message = True, "what was seen is forgotten; the counts go on"
        return response


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; 1 if it could not start."""
    return run("camera_goal_node", CameraGoalNode, args)


if __name__ == "__main__":
    sys.exit(main())
