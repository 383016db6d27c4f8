"""A planner that knows the simulation: it tries actions there, and takes the best (predictive sampling).

It is far too slow for a robot, and sees what no robot does. But where random actions never achieve anything, as with an
egg on the palm, it shows a policy in training what can be done (`policy.demonstrations`).
"""

import copy
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco import rollout

from her_robot.contract import HandObjectContract, goal_difference, joint_targets
from her_robot.contract.hand import JOINTS
from her_robot.sim.hand_tasks import HandObjectTask

_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS


@dataclass(frozen=True)
class PlannerConfig:
    """How far it looks ahead, how much it tries, and what it wants.

    Predictive sampling: Howell et al. 2022, "Predictive sampling: real-time behaviour synthesis with MuJoCo", arXiv
    2212.00541, algorithm 1; with noise of several sizes, on some of the joints.
    """

    samples: int = 40
    """Plans tried in each control period, the last one among them."""
    horizon: int = 12
    """Control periods that a plan looks ahead."""
    knots: int = 4
    """Actions of a plan that are drawn; it is linear between them."""
    noise: float = 0.3
    """Standard deviation of what is added to the last plan, in actions, before it is scaled by one of `scales`."""
    scales: tuple[float, ...] = (0.1, 0.4, 1.0, 1.5)
    shares: tuple[float, ...] = (0.2, 0.5, 1.0)
    """Each sample changes this share of the joints, one of them."""
    substeps: int = 10
    """Physics steps in a control period of a plan: half of the simulation's, which tells as much."""
    iterations: int = 4
    """Of the constraint solver."""
    off_center: float = 280.0
    """Cost of an object's horizontal distance from where the episode began, squared [rad/m^2]; 5 cm cost 0.7 rad."""
    off_goal: float = 10.0
    """Cost of the distance to the goal, where positions count [rad/m]."""
    sinking: float = 30.0
    """Cost of how far the object is lower than 1 cm below where the episode began [rad/m]."""
    speed: float = 0.5
    """Cost of an object's speed [rad/(m/s)]. Without it, or that of turning, objects are thrown off the palm."""
    turning: float = 0.03
    """Cost of its angular speed [rad/(rad/s)]."""


class SamplingPlanner:
    """Plans for one simulation of an object in the hand."""

    def __init__(self, task: HandObjectTask, config: PlannerConfig, num_threads: int = 1) -> None:
        """
        Args:
            task: with absolute control.
            config: how it plans.
            num_threads: threads that try plans.
        """
        assert isinstance(task.contract, HandObjectContract)
        self._contract: HandObjectContract = task.contract
        self._config = config
        self._model = model = copy.copy(task.model)
        period = task.substeps * model.opt.timestep
        model.opt.timestep, model.opt.iterations = period / config.substeps, config.iterations
        joint = model.joint("object:joint")
        self._pose = 1 + int(joint.qposadr[0]) + np.arange(7)
        self._twist = 1 + model.nq + int(joint.dofadr[0]) + np.arange(6)
        self._between = _interpolation(config.horizon, config.knots)
        self._datas = [mujoco.MjData(model) for _ in range(num_threads)]
        self._rollout = rollout.Rollout(nthread=num_threads)
        self.begin(np.zeros(7), np.zeros(7), np.random.default_rng(0))

    def begin(self, pose: np.ndarray, goal: np.ndarray, rng: np.random.Generator) -> None:
        """Begin an episode.

        Args:
            pose: of the object, (7,).
            goal: desired, (7,).
            rng: source of its draws.
        """
        self._home, self._goal, self._rng = pose[:3].copy(), goal, rng
        self._plan = np.zeros((self._config.horizon, self._contract.action_size))

    def act(self, data: mujoco.MjData) -> np.ndarray:
        """The next action (20,), for the present state of a simulation."""
        config = self._config
        plans = np.clip(self._plan + self._draw(), -1.0, 1.0)
        controls = np.repeat(joint_targets(self._contract, plans, data.qpos[: len(JOINTS)]), config.substeps, axis=1)
        state = np.empty(mujoco.mj_stateSize(self._model, _STATE))
        mujoco.mj_getState(self._model, data, state, _STATE)
        states, _ = self._rollout.rollout(self._model, self._datas, np.tile(state, (config.samples, 1)), controls)
        cost = self._cost(np.asarray(states)[:, config.substeps - 1 :: config.substeps])
        plan = plans[(cost.mean(axis=1) + cost[:, -1]).argmin()]
        self._plan = np.concatenate([plan[1:], plan[-1:]])
        return plan[0]

    def close(self) -> None:
        """Stop its threads."""
        self._rollout.close()

    def _draw(self) -> np.ndarray:
        """What is added to the last plan, (samples, horizon, 20); nothing in the first sample."""
        rng, config = self._rng, self._config
        size, joints = config.samples, self._contract.action_size
        knots = rng.normal(0.0, config.noise, (size, config.knots, joints))
        knots *= rng.choice(config.scales, (size, 1, 1))
        knots *= rng.random((size, 1, joints)) < rng.choice(config.shares, (size, 1, 1))
        knots[0] = 0.0
        return self._between @ knots

    def _cost(self, states: np.ndarray) -> np.ndarray:
        """Of states (samples, horizon, state), (samples, horizon) [rad]."""
        config, pose, twist = self._config, states[..., self._pose], states[..., self._twist]
        missing = goal_difference(self._contract, pose, np.broadcast_to(self._goal, pose.shape))
        cost = 2.0 * np.arccos(np.clip(missing[..., 3], -1.0, 1.0))
        if self._contract.position_counts:
            cost += config.off_goal * np.linalg.norm(missing[..., :3], axis=-1)
        else:
            cost += config.off_center * np.square(pose[..., :2] - self._home[:2]).sum(axis=-1)
        cost += config.sinking * np.maximum(self._home[2] - 0.01 - pose[..., 2], 0.0)
        cost += config.speed * np.linalg.norm(twist[..., :3], axis=-1)
        return cost + config.turning * np.linalg.norm(twist[..., 3:], axis=-1)


def _interpolation(horizon: int, knots: int) -> np.ndarray:
    """Weights (horizon, knots) of knots that are evenly spaced over the horizon, linear between them."""
    at = np.linspace(0.0, knots - 1.0, horizon)
    return np.maximum(1.0 - np.abs(at[:, None] - np.arange(knots)), 0.0)
