"""The simulated robot that does a task: an arm, a hand, or a hand with a block."""

from her_robot.contract import CONTRACTS, HandContract, contract_of
from her_robot.sim.block_hand import BlockHand
from her_robot.sim.hand_robot import HANDS, ReachingHand, SimulatedHand
from her_robot.sim.robot import ARMS, SimulatedRobot


def has_robot(task: str) -> bool:
    """Whether a simulated robot does a task: there is no egg or pen with markers."""
    return not task.startswith(("hand_egg", "hand_pen"))


ROBOT_TASKS = tuple(filter(has_robot, CONTRACTS))
"""Tasks that a simulated robot does, without their options."""


def simulated_robot(name: str, task: str, severity: float = 1.0, seed: int = 0) -> SimulatedRobot | SimulatedHand:
    """The simulated robot of that name, an arm, a hand, or a hand with a block, as the task asks for.

    Args:
        name: in config/simulated_robots/, of a hand in config/simulated_hands/.
        task: that it does.
        severity: how much it differs from the robot that it is based on, if from any.
        seed: of its first episode.

    Raises:
        HerRobotError: an unknown robot, a task that none does, or an impossible severity.
    """
    contract = contract_of(task)
    if isinstance(contract, HandContract):
        hand = BlockHand if contract.has_object else ReachingHand
        return hand(HANDS.load(name, severity), task, seed)
    return SimulatedRobot(ARMS.load(name, severity), task, seed)
