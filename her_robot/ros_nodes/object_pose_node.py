"""ROS 2 node: images of the cameras around a hand in, the object's pose out. Topics and parameters:
docs/shadow_hand.md."""

import sys
from functools import partial

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

from her_robot.robot.hand_calibration import load_hand_calibration
from her_robot.robot.object_estimate import ObjectEstimate, ObjectEstimator, ObjectEstimatorConfig
from her_robot.ros_nodes import conversions
from her_robot.ros_nodes.running import declared, image_qos, run
from her_robot.ros_nodes.seeing import SeeingNode


class ObjectPoseNode(SeeingNode):
    """Publishes where the object is, and for every image what came of it."""

    def __init__(self) -> None:
        """Read the parameters and the calibration.

        Raises:
            HerRobotError: an unknown calibration, or one that cannot be used, or an impossible parameter.
        """
        super().__init__("object_pose_node")
        calibration = load_hand_calibration(self.declare_parameter("calibration", "shadow_hand_sim").value)
        self._estimator = ObjectEstimator(calibration, declared(self, "estimator", ObjectEstimatorConfig()))
        self._frame = calibration.frame
        self._poses = self._pose_publisher("object_pose")
        qos = image_qos(self)
        self._topics = {name: self._topic(name, f"{name}/rgb/image_raw") for name in calibration.cameras}
        for name, topic in self._topics.items():
            self.create_subscription(Image, topic, partial(self._on_image, name), qos)
        self._silent = set(self._topics)
        self.get_logger().info(f"looking for the object on {', '.join(self._topics.values())}")

    def _on_image(self, camera: str, message: Image) -> None:
        self._silent.discard(camera)
        time, took = conversions.to_seconds(message.header.stamp), 0.0
        image = self._read(message, f"{camera}: ")
        if image is None:
            estimates = self._estimator.refuse(camera, time, "image not readable")
        else:
            took, estimates = self._estimator.process(camera, image, time)
        for estimate in estimates:
            self._publish_pose(estimate)
        newest = estimates[-1] if estimates else None
        values = {"camera": camera, "processing_ms": f"{1e3 * took:.3f}", **_outcome(newest)}
        level = DiagnosticStatus.WARN if newest is not None and newest.pose is None else DiagnosticStatus.OK
        self._report(message.header.stamp, values, newest.summary if newest else "other cameras are waited for", level)

    def _publish_pose(self, estimate: ObjectEstimate) -> None:
        if (pose := estimate.pose) is not None:
            stamp = conversions.to_stamp(estimate.time)
            self._poses.publish(
                conversions.pose_with_covariance(self._frame, stamp, pose.position, pose.rotation, pose.covariance)
            )

    def _on_watchdog(self) -> None:
        if self._silent:
            self._report_silence([self._topics[name] for name in sorted(self._silent)])
        self._silent = set(self._topics)


def _outcome(estimate: ObjectEstimate | None) -> dict[str, str]:
    """Of a look that is over."""
    if estimate is None:
        return {}
    values = {
        "object": estimate.outcome,
        "object_s": repr(estimate.time),
        "unseen_for_s": f"{estimate.unseen_for:.3f}",
        "lost": str(estimate.lost),
    }
    for name, view in estimate.views.items():
        values |= {f"{name}.markers": str(view.markers), f"{name}.markers_used": str(view.used)}
        if view.error is not None:
            values[f"{name}.error_px"] = f"{view.error:.3f}"
    return values


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; 1 if it could not start."""
    return run("object_pose_node", ObjectPoseNode, args)


if __name__ == "__main__":
    sys.exit(main())
