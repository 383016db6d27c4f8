"""A controller whose arm does at once what it is told, and whose measurements are well until a test spoils them."""

import numpy as np

from her_robot.contract import contract_of
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.arm_controller import ArmController
from her_robot.robot.calibration import JointOffsets
from her_robot.robot.profile import load_profile

PROFILE = load_profile("fetch")
PERIOD = 0.04
NAMES = (*PROFILE.joint_names, *PROFILE.gripper.joints)


class ConstantPolicy(PolicyBundle):
    """A bundle of the real class whose network is replaced by a constant."""

    def __init__(self, task, action):
        super().__init__(contract_of(task), {}, {})
        object.__setattr__(self, "action", np.array(action, np.float32))

    def act(self, observation, desired_goal, memory=None):
        assert observation.shape == (self.contract.observation_size,)
        assert np.isfinite(observation).all()
        return self.action


class PerfectArm:
    """Joints that are where they were told to be one period ago, and inputs that are all well."""

    def __init__(
        self, task="fetch_push", action=(0.0, 0.0, 0.0, 0.0), profile=PROFILE, offsets=None, table=None, policy=None
    ):
        policy = policy or ConstantPolicy(task, action)
        self.controller = ArmController(policy, profile, JointOffsets(offsets or {}), table)
        self.contract, self.profile = self.controller.contract, self.controller.profile
        self.joints = profile.to_robot(np.array(profile.look[task]))
        self.velocities = np.zeros(7)
        self.fingers = np.zeros(2)
        self.obstacle = 0.0
        """Gap that something between the fingers leaves [m]."""
        self.time = 0.0
        self.goal = np.array(self.contract.goal_low) - self.contract.base_position + [0.1, 0.1, 0.0]
        self.object = self.goal + [0.05, 0.0, 0.0]
        self.sees = True

    def measure(self, **changes):
        positions = [*self.joints, *self.fingers]
        velocities = [*self.velocities, 0.0, 0.0]
        measured = {"names": NAMES, "positions": positions, "velocities": velocities, **changes}
        self.controller.measured.observe_joints(
            self.time, measured["names"], measured["positions"], measured["velocities"]
        )

    def tick(self, measure=True, **changes):
        self.time += PERIOD
        if measure:
            self.measure(**changes)
        if self.sees:
            self.controller.measured.observe_goal(self.time, self.goal)
            if self.contract.has_object:
                self.controller.measured.observe_object(self.time, self.object, np.eye(3))
        command = self.controller.tick(self.time)
        if command.joints is not None:
            self.joints, self.velocities = command.joints.positions[0], command.joints.velocities[0]
            assert command.gripper_gap is not None
            self.fingers = np.full(2, max(command.gripper_gap, self.obstacle) / 2)
        return command

    def run_until(self, phase, limit=300):
        for _ in range(limit):
            command = self.tick()
            if command.phase == phase:
                return command
        raise AssertionError(f"still {command.phase}: {command.reason}")
