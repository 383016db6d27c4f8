"""How near to each kind of goal of HandReach a hand can come at all.

    python examples/hand_reach_limits.py --goals 200

A goal asks the thumb and one other finger to meet above the palm while the rest stays where it is. For every goal two
distances are searched for, over all five fingertips together, of which 10 mm are a success:

- of the joints alone: positions within their limits that come nearest, from several starts; neither gravity nor contact
  hinders them.
- in simulation: from there, a controller that knows the model and what is achieved turns the targets of the weak
  actuators for four episodes' length, until nothing is gained any more.
"""

import argparse

import gymnasium
import gymnasium_robotics
import mujoco
import numpy as np
from scipy.optimize import least_squares

from her_robot.contract import Contract, contract_of
from her_robot.contract.hand import ACTUATED, ACTUATOR_RANGES, COUPLED, DRAGGED, FINGERTIPS, JOINTS

_FINGERS = ("first", "middle", "ring", "little")
_STARTS = 6
_SEED = 300_000_000
_LOW, _HIGH = np.array(list(ACTUATOR_RANGES.values())).T
_EPISODES = 4
_GAIN, _DAMPING = 0.3, 20.0
"""Share of the missing way that a control period's targets take up; mm/rad, against joints that hardly move a tip."""
_AT_LAST = 20
"""The nearest of the last so many control periods counts."""


class _Tips:
    """Where the fingertips are, and how they move with the joints [mm, mm/rad]."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model, self._data = model, mujoco.MjData(model)
        joints = [model.joint(f"robot0:{name}") for name in JOINTS]
        self._positions = [joint.qposadr[0] for joint in joints]
        self._dofs = [joint.dofadr[0] for joint in joints]
        self._sites = [model.site(f"robot0:S_{tip}").id for tip in FINGERTIPS]
        self.low, self.high = np.array([joint.range for joint in joints]).T

    def offset(self, positions: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """From a goal (15,) [m] to the fingertips at some joint positions (24,) [rad], (15,) [mm]."""
        self._data.qpos[self._positions] = positions
        mujoco.mj_kinematics(self._model, self._data)
        return 1e3 * (self._data.site_xpos[self._sites].ravel() - goal)

    def jacobian(self, positions: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Of `offset` by the joint positions, (15, 24) [mm/rad]."""
        self.offset(positions, goal)
        mujoco.mj_comPos(self._model, self._data)
        rows = np.zeros((len(self._sites), 3, self._model.nv))
        for row, site in zip(rows, self._sites, strict=True):
            mujoco.mj_jacSite(self._model, self._data, row, None, site)
        return 1e3 * rows.reshape(-1, self._model.nv)[:, self._dofs]

    def nearest(self, goal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The joint positions (24,) [rad] that come nearest to a goal (15,) [m], of those that were found."""
        limits, found = {"bounds": (self.low, self.high), "max_nfev": 100}, []
        for _ in range(_STARTS):
            start = rng.uniform(self.low, self.high)
            found.append(
                least_squares(self.offset, start, self.jacobian, args=(goal,), **limits)  # type: ignore[arg-type]
            )
        return min(found, key=lambda each: each.cost).x


def main() -> None:
    """Search, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goals", type=int, default=200, help="how many goals; default: 200")
    options = parser.parse_args()
    gymnasium.register_envs(gymnasium_robotics)
    contract = contract_of("hand_reach")
    env = gymnasium.make(contract.environment, disable_env_checker=True).unwrapped
    tips, rng = _Tips(env.get_wrapper_attr("model")), np.random.default_rng(0)
    distances: dict[str, list[tuple[float, float]]] = {}
    for seed in range(options.goals):
        goal = env.reset(seed=_SEED + seed)[0]["desired_goal"]
        positions = tips.nearest(goal, rng)
        alone = float(np.linalg.norm(tips.offset(positions, goal)))
        found = alone, _in_simulation(env, contract, tips, positions[ACTUATED], goal)
        distances.setdefault(_meeting(goal.reshape(5, 3)), []).append(found)
    env.close()
    print("| the thumb meets | goals | joints alone, median | in simulation, median | below 10 mm in simulation |")
    print("|---|---|---|---|---|")
    for name, found in sorted(distances.items()):
        alone, simulated = np.array(found).T
        reached = np.mean(simulated < 1e3 * contract.success_distance)
        print(f"| {name} | {len(found)} | {np.median(alone):.1f} mm | {np.median(simulated):.1f} mm | {reached:.2f} |")


def _in_simulation(env: gymnasium.Env, contract: Contract, tips: _Tips, targets: np.ndarray, goal: np.ndarray) -> float:
    """The least distance at last [mm], from targets of the actuators (20,) [rad] on."""
    middle, half = (_HIGH + _LOW) / 2.0, (_HIGH - _LOW) / 2.0
    distances = []
    for _ in range(_EPISODES * contract.episode_steps):
        observation, *_ = env.step((targets - middle) / half)
        offset = 1e3 * (observation["achieved_goal"] - goal)
        distances.append(float(np.linalg.norm(offset)))
        of_joints = tips.jacobian(observation["observation"][: len(JOINTS)], goal)
        jacobian = of_joints[:, ACTUATED]
        jacobian[:, COUPLED] += of_joints[:, DRAGGED]
        damped = jacobian.T @ jacobian + _DAMPING**2 * np.eye(len(ACTUATED))
        targets = np.clip(targets - _GAIN * np.linalg.solve(damped, jacobian.T @ offset), _LOW, _HIGH)
    return min(distances[-_AT_LAST:])


def _meeting(goal: np.ndarray) -> str:
    """Which finger meets the thumb in a goal (5, 3) [m]."""
    apart = np.linalg.norm(goal[:4] - goal[4], axis=1)
    return f"{_FINGERS[int(apart.argmin())]} finger" if apart.min() < 0.02 else "none"


if __name__ == "__main__":
    main()
