"""A pick-and-place policy written by hand, in the place of a trained one, and a loop without ROS to run it in."""

import numpy as np

from her_robot.contract import contract_of
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.guide import guide_pick
from her_robot.robot.calibration import load_calibration
from her_robot.robot.controller import PolicyController
from her_robot.robot.profile import load_profile
from her_robot.robot.scene_estimate import SceneEstimator
from her_robot.sim.robot import JointMeasurement, SimulatedRobot, load_simulated_robot
from her_robot.sim.sensors import CameraImage, SensorStream


class ScriptedPick(PolicyBundle):
    """The guide of pick and place as a policy; a function of what is observed alone."""

    def __init__(self):
        super().__init__(contract_of("fetch_pick_and_place"), {}, {})

    def act(self, observation, desired_goal):
        return guide_pick(self.contract, observation[None], desired_goal[None])[0].astype(np.float32)


class LoopWithoutRos:
    """Simulated robot, camera images, estimator and controller, as the nodes connect them, in one process."""

    def __init__(self, bundle, robot="fetch", config=None):
        task = bundle.contract.task
        self.robot = SimulatedRobot(config or load_simulated_robot("fetch"), task, 0)
        self.sensors = SensorStream(self.robot, real_time=False)
        calibration = load_calibration("fetch_sim", task)
        self.estimator = SceneEstimator(calibration, bundle.contract)
        self.controller = PolicyController(bundle, load_profile(robot), calibration.joint_offsets, calibration.table)
        self.joints = {}

    def play(self, seed, steps=100, on_step=lambda loop, command: None):
        """One episode; returns the true distance to the goal at its end [m], or inf if it did not come to that."""
        self.sensors.reset(seed)
        self.estimator.reset()
        self.controller.forget()
        for _ in range(400 + steps):
            command = self.tick()
            on_step(self, command)
            if self.controller.stopped:
                break
            if self.controller.steps >= steps:
                self._advance()
                self.controller.hold()
                truth = self.robot.ground_truth()
                return float(np.linalg.norm(truth.achieved_goal - truth.goal))
        return np.inf

    def tick(self):
        self._advance()
        command = self.controller.tick(self.robot.time)
        if command.joints is not None:
            joints = command.joints
            names = self.controller.profile.joint_names
            self.robot.command_arm(names, self.robot.time + joints.times, joints.positions, joints.velocities)
            self.robot.command_gripper(command.gripper_gap)
        return command

    def _advance(self):
        measured = self.controller.measured
        for report in self.sensors.advance(self.controller.contract.control_period):
            if isinstance(report, JointMeasurement):
                measured.observe_joints(
                    report.time, report.names, report.positions.tolist(), report.velocities.tolist()
                )
                self.joints = dict(zip(report.names, report.positions, strict=True))
            elif isinstance(report, CameraImage):
                self.estimate = self.estimator.process(report.pixels, report.time, self.joints)
                if self.estimate.object is not None:
                    measured.observe_object(report.time, self.estimate.object.position, self.estimate.object.rotation)
                if self.estimate.goal is not None:
                    measured.observe_goal(report.time, self.estimate.goal.position)

    def close(self):
        self.robot.close()
