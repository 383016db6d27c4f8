"""A pick-and-place policy written by hand, in the place of a trained one, and a loop without ROS to run it in."""

import numpy as np

from her_robot.contract import contract_of, term_slice
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.calibration import load_calibration
from her_robot.robot.controller import PolicyController
from her_robot.robot.profile import load_profile
from her_robot.robot.scene_estimate import SceneEstimator
from her_robot.sim.robot import JointMeasurement, SimulatedRobot, load_simulated_robot
from her_robot.sim.sensors import CameraImage, SensorStream

_ABOVE = 0.09
"""Open fingers pass over the object with the grip point this far above its centre [m]."""
_AT = 0.012
"""The gripper is at a point when it is nearer than this [m]."""
_GAIN = 12.0
"""Action per metre of error."""


class ScriptedPick(PolicyBundle):
    """Over the object with open fingers, down, close, and to the goal; a function of what is observed alone."""

    def __init__(self):
        super().__init__(contract_of("fetch_pick_and_place"), {}, {})

    def act(self, observation, desired_goal):
        def term(name):
            return observation[..., term_slice(self.contract, name)]

        grip, position = term("grip_pos"), term("object_pos")
        gap = term("gripper_state").sum()
        offset = position - grip
        sideways = float(np.hypot(*offset[:2]))
        around = sideways < 0.025 and abs(offset[2]) < 0.035
        held = around and gap < 0.0525
        if held:
            return self._action(desired_goal - position, -1.0)
        if around and sideways < _AT:
            return self._action(np.zeros(3), -1.0)
        if gap < 0.07 and offset[2] > -_ABOVE / 2:
            return self._action(np.array([0.0, 0.0, position[2] + _ABOVE - grip[2]]), 1.0)
        over = position + [0.0, 0.0, _ABOVE if sideways > _AT and grip[2] - position[2] > 0.03 else 0.0]
        if gap < 0.07:
            over = position + [0.0, 0.0, _ABOVE]
        return self._action(over - grip, 1.0)

    @staticmethod
    def _action(displacement, gripper):
        return np.clip([*(_GAIN * displacement), gripper], -1.0, 1.0).astype(np.float32)


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
        """One episode; returns the true distance to the goal at its end [m], or inf if the policy never ran."""
        self.sensors.reset(seed)
        self.estimator.reset()
        self.controller.forget()
        for _ in range(400 + steps):
            command = self.tick()
            on_step(self, command)
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
