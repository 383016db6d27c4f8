"""How near to each kind of goal of HandReach the hand's joints can come at all, whatever moves them.

    python examples/hand_reach_limits.py --goals 200

A goal asks the thumb and one other finger to meet above the palm while the rest stays where it is. For every goal the
joints' positions that come nearest, within their limits, are searched for from several starts; neither gravity nor
contact hinders them. A success is nearer than 10 mm, over all five fingertips together.
"""

import argparse

import gymnasium
import gymnasium_robotics
import mujoco
import numpy as np
from scipy.optimize import least_squares

from her_robot.contract import contract_of
from her_robot.contract.hand import FINGERTIPS, JOINTS

_FINGERS = ("first", "middle", "ring", "little")
_STARTS = 6
_SEED = 300_000_000


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

    def nearest(self, goal: np.ndarray, rng: np.random.Generator) -> float:
        """The least distance to a goal (15,) [m] that was found [mm]."""
        limits, distances = {"bounds": (self.low, self.high), "max_nfev": 100}, []
        for _ in range(_STARTS):
            start = rng.uniform(self.low, self.high)
            found = least_squares(self.offset, start, self.jacobian, args=(goal,), **limits)  # type: ignore[arg-type]
            distances.append(np.sqrt(2.0 * found.cost))
        return min(distances)


def main() -> None:
    """Search, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goals", type=int, default=200, help="how many goals; default: 200")
    options = parser.parse_args()
    gymnasium.register_envs(gymnasium_robotics)
    contract = contract_of("hand_reach")
    env = gymnasium.make(contract.environment)
    tips, rng = _Tips(env.unwrapped.get_wrapper_attr("model")), np.random.default_rng(0)
    distances: dict[str, list[float]] = {}
    for seed in range(options.goals):
        goal = env.reset(seed=_SEED + seed)[0]["desired_goal"]
        distances.setdefault(_meeting(goal.reshape(5, 3)), []).append(tips.nearest(goal, rng))
    env.close()
    print("| the thumb meets | goals | least distance, median | possible |\n|---|---|---|---|")
    for name, found in sorted(distances.items()):
        possible = np.mean(np.array(found) < 1e3 * contract.success_distance)
        print(f"| {name} | {len(found)} | {np.median(found):.1f} mm | {possible:.2f} |")


def _meeting(goal: np.ndarray) -> str:
    """Which finger meets the thumb in a goal (5, 3) [m]."""
    apart = np.linalg.norm(goal[:4] - goal[4], axis=1)
    return f"{_FINGERS[int(apart.argmin())]} finger" if apart.min() < 0.02 else "none"


if __name__ == "__main__":
    main()
