"""The controller of a named policy on a named robot."""

from pathlib import Path

from her_robot.contract import HandContract
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.arm_controller import ArmController
from her_robot.robot.calibration import load_calibration, load_joint_offsets
from her_robot.robot.hand_controller import HandController
from her_robot.robot.hand_profile import load_hand_profile
from her_robot.robot.profile import load_profile

PolicyController = ArmController | HandController


def load_controller(task: str, policy: str | Path, robot: str, calibration: str) -> PolicyController:
    """A controller of named parts: a bundle's folder, a robot profile, a calibration.

    Raises:
        HerRobotError: any of them is missing, damaged, or does not fit the task.
    """
    return controller_of(PolicyBundle.load(Path(policy), task), robot, calibration)


def controller_of(bundle: PolicyBundle, robot: str, calibration: str) -> PolicyController:
    """The same of a policy that is loaded already.

    Raises:
        HerRobotError: a part is missing, damaged, or does not fit the policy's task.
    """
    task = bundle.contract.task
    if isinstance(bundle.contract, HandContract):
        return HandController(bundle, load_hand_profile(robot), load_joint_offsets(calibration, task))
    parts = load_calibration(calibration, task)
    return ArmController(bundle, load_profile(robot), parts.joint_offsets, parts.table)
