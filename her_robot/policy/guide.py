"""Guides that show a policy in training what contact is good for: scripts, or a policy that was trained before.

HER learns from whatever is achieved; at first nothing is, because random actions hardly ever touch the object. A share
of the training episodes begins with a guide acting, with the same exploration noise, and the policy learns from them
off-policy. A trained policy holds nothing of it. Arrays are NumPy's or PyTorch's.
"""

from collections.abc import Callable

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.contract import Contract, term_slice
from her_robot.domain_rand.anticipation import HELD_GAP
from her_robot.errors import ConfigurationError
from her_robot.policy.bundle import PolicyBundle

Guide = Callable[[Array, Array], Array]
"""Actions (n, action_size) for observations (n, observation_size) and desired goals (n, goal_size)."""

_BEHIND = 0.06
"""Where a push starts: this far behind the object, as seen from the goal [m]."""
_NEAR = 0.015
"""The gripper is at a point when it is nearer than this [m]."""
_CLEAR_HEIGHT = 0.075
"""Above the object's centre, the closed fingers pass over it [m]."""
_PUSH_HEIGHT = -0.003
"""The grip point during a push, above the object's centre [m]."""
_DONE = 0.012
"""The object is left alone when it is nearer to the goal than this [m]."""
_BETWEEN_FINGERS, _ALONG_FINGERS = 0.025, 0.035
"""An object is between the fingers when its centre is nearer than this to the grip point, aside and in height [m]."""
_NEAR_GRASP = 0.012
"""Fingers go down, and close, when they are nearer than this to being over the object [m]."""
_OPEN_GAP = 0.07
"""With a larger gap, fingers pass over the object [m]."""
_ABOVE = 0.09
"""Open fingers pass over the object with the grip point this far above its centre [m]."""
_PICK_GAIN = 12.0
"""Action per metre of error."""
_DESCENT = 3.0
"""Open fingers stay at least this many times as high above the object as they are aside of it."""
_GAIN = 15.0
"""Action per metre of error: one period's displacement is 0.05 m times the action."""
_CAUTIOUS = 0.7
"""Haste of a guide that knows of delays: with more it swings about its target."""


def guide_push(contract: Contract, observation: Array, desired_goal: Array, haste: float = 1.0) -> Array:
    """Actions (n, 4) that push the object towards the goal: over it, down behind it, then forward.

    Args:
        contract: of a task with an object.
        observation: (n, observation_size).
        desired_goal: (n, 3) [m].
        haste: factor on its gain.
    """
    xp = arrays.namespace(observation)
    grip = observation[:, term_slice(contract, "grip_pos")]
    position = observation[:, term_slice(contract, "object_pos")]
    remaining = (desired_goal - position)[:, :2]
    distance = xp.linalg.norm(remaining, axis=1, keepdims=True)
    direction = remaining / xp.clip(distance, 1e-6, None)
    relative = grip - position
    along = xp.einsum("ni,ni->n", relative[:, :2], direction)
    sideways = relative[:, :2] - along[:, None] * direction

    start = position[:, :2] - _BEHIND * direction
    at_start = xp.linalg.norm(start - grip[:, :2], axis=1) < _NEAR
    low = relative[:, 2] < _CLEAR_HEIGHT / 2
    pushing = low & (along < 0) & (xp.linalg.norm(sideways, axis=1) < _NEAR)
    blocked = low & ~pushing & ~at_start

    target = xp.concatenate([start, position[:, 2:] + _CLEAR_HEIGHT], axis=1)
    target[blocked, :2] = grip[blocked, :2]
    down = at_start | pushing
    target[down, 2] = position[down, 2] + _PUSH_HEIGHT
    forward = grip[:, :2] - sideways + xp.clip(0.3 * distance + 0.02, None, 0.05) * direction
    target[pushing, :2] = forward[pushing]
    action = _filled(contract, observation, 0.0)
    action[:, :3] = xp.clip(haste * _GAIN * (target - grip), -1.0, 1.0)
    action[distance[:, 0] < _DONE] = 0.0
    return action


def guide_pick(contract: Contract, observation: Array, desired_goal: Array, haste: float = 1.0) -> Array:
    """Actions (n, 4) that bring the object to the goal: over it with open fingers, down, close, and there.

    Args:
        contract: of a task whose gripper opens and closes.
        observation: (n, observation_size).
        desired_goal: (n, 3) [m].
        haste: factor on its gain.
    """
    xp = arrays.namespace(observation)
    grip = observation[:, term_slice(contract, "grip_pos")]
    position = observation[:, term_slice(contract, "object_pos")]
    gap = observation[:, term_slice(contract, "gripper_state")].sum(axis=1)
    offset = position - grip
    sideways = xp.linalg.norm(offset[:, :2], axis=1)

    between = (sideways < _BETWEEN_FINGERS) & (xp.abs(offset[:, 2]) < _ALONG_FINGERS)
    held = between & (gap < HELD_GAP)
    closing = between & ~held & (sideways < _NEAR_GRASP)
    opening = ~held & ~closing & (gap < _OPEN_GAP)
    over = opening | ((sideways > _NEAR_GRASP) & (offset[:, 2] < -_ALONG_FINGERS))

    remaining = arrays.copy(offset)
    remaining[over, 2] += _ABOVE
    # Fingers that are not open yet first rise out of the object's way.
    remaining[opening & (offset[:, 2] > -_ABOVE / 2), :2] = 0.0
    remaining[held] = (desired_goal - position)[held]
    remaining[closing] = 0.0
    action = _filled(contract, observation, 1.0)
    action[:, :3] = xp.clip(haste * _PICK_GAIN * remaining, -1.0, 1.0)
    action[held | closing, 3] = -1.0
    return action


def approach_object(contract: Contract, observation: Array) -> tuple[Array, Array]:
    """How a gripper goes to its object, and how far it still has to go.

    Closed fingers go straight there. Open ones come from above, so that the object ends up between them.

    Args:
        contract: of a task with an object.
        observation: (n, observation_size).

    Returns:
        Actions (n, action_size), and distances (n,) [m].
    """
    xp = arrays.namespace(observation)
    remaining = arrays.copy(observation[:, term_slice(contract, "object_rel_pos")])
    distance = xp.linalg.norm(remaining, axis=1)
    action = _filled(contract, observation, 1.0)
    if not contract.gripper_blocked:
        aside = xp.linalg.norm(remaining[:, :2], axis=1)
        remaining[:, 2] += xp.clip(_DESCENT * aside, None, _CLEAR_HEIGHT)
    action[:, :3] = xp.clip(_GAIN * remaining, -1.0, 1.0)
    return action, distance


def _filled(contract: Contract, observation: Array, value: float) -> Array:
    """Actions (n, action_size) of one value, beside observations (n, observation_size)."""
    return arrays.namespace(observation).full_like(observation[:, : contract.action_size], value)


GUIDES: dict[str, Callable[[Contract, Array, Array, float], Array]] = {
    "fetch_push": guide_push,
    "fetch_pick_and_place": guide_pick,
}
"""The script of each task that has one."""


def scripted_guide(contract: Contract, sees_truth: bool) -> Guide | None:
    """The script of a task; None where it has none.

    Args:
        contract: of the task.
        sees_truth: whether it is shown the truth (`BatchedGoalEnv.true_observation`), rather than what sensors tell.
    """
    script, haste = GUIDES.get(contract.task), _CAUTIOUS if sees_truth else 1.0
    if script is None:
        return None
    return lambda observation, desired_goal: script(contract, observation, desired_goal, haste)


def teacher(bundle: PolicyBundle) -> Guide:
    """A trained policy as a guide of another one, which has to do with less: late sensors, or other networks.

    Raises:
        ConfigurationError: the policy remembers its episode, and a guide is asked about single moments.
    """
    if bundle.remembers:
        raise ConfigurationError(
            f"{bundle.path}: a policy that remembers its episode cannot teach; name one without history and LSTM"
        )

    def act(observation: Array, desired_goal: Array) -> Array:
        return arrays.like(observation, bundle.act(arrays.to_numpy(observation), arrays.to_numpy(desired_goal)))

    return act
