"""A policy of hand_reach that is no network: joint targets for the fingertips' goals, by inverse kinematics."""

from functools import cache

import mujoco
import numpy as np

from her_robot.contract import HAND_CONTRACTS
from her_robot.contract.hand import ACTUATOR_RANGES, COUPLED_JOINTS, FINGERTIPS, JOINTS
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.hand_kinematics import HandKinematics
from her_robot.robot.hand_profile import compile_hand, load_hand_profile
from her_robot.rotations import to_matrix
from her_robot.sim.hand_tasks import HandReachTask, hand_task

CONTRACT = HAND_CONTRACTS["hand_reach"]
_LOW, _HIGH = np.array(list(ACTUATOR_RANGES.values())).T
_ACTUATED = [JOINTS.index(name) for name in ACTUATOR_RANGES]
_ITERATIONS, _DAMPING = 60, 2e-5
_FEEDBACK = 1.0
"""Part of what is missing to the goal that is added to the targets."""
_DISTAL_OVER_MIDDLE = 1.142
_SCALE = 0.01
"""Of inputs [m]."""


class InverseKinematics:
    """Joint targets that bring all fingertips to their goals, as near to the initial posture as that allows."""

    def __init__(self):
        profile = load_hand_profile("shadow_hand")
        self._kinematics = HandKinematics(profile)
        self._model = compile_hand(profile.model)
        self._data = mujoco.MjData(self._model)
        self._rotation = to_matrix(np.array(profile.base_rotation_wxyz))
        self._position = np.array(profile.base_position)
        self.start = hand_task("hand_reach").initial_qpos[: len(JOINTS)]
        # The distal joints' play in their tendons stays what it is at the start.
        self._play = {d: self.start[JOINTS.index(d)] - self._drag(self.start, m) for m, d in COUPLED_JOINTS.items()}

    def targets(self, goal):
        """(20,) [rad] for a goal (15,) [m]."""
        angles = self.start[_ACTUATED].copy()
        for _ in range(_ITERATIONS):
            posture = self._posture(angles)
            change = self.towards(posture, goal - self._tips(posture))
            angles = np.clip(angles + change, _LOW, _HIGH)
        return angles + self._kinematics.sag(self._posture(angles))

    def towards(self, posture, displacement):
        """Change of the targets (20,) [rad] that moves the fingertips by (15,) [m]."""
        jacobian = self._jacobian(posture)
        return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + _DAMPING * np.eye(15), displacement)

    def _jacobian(self, posture):
        """Of the fingertips by the targets (15, 20); a middle joint drags its distal one along."""
        data, model = self._data, self._model
        data.qpos[:] = posture
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        jacobians = np.zeros((5, 3, model.nv))
        for tip, jacobian in zip(FINGERTIPS, jacobians, strict=True):
            mujoco.mj_jacSite(model, data, jacobian, None, model.site(f"robot0:S_{tip}").id)
        full = jacobians.reshape(15, -1)
        for middle, distal in COUPLED_JOINTS.items():
            full[:, JOINTS.index(middle)] += _DISTAL_OVER_MIDDLE * full[:, JOINTS.index(distal)]
        return full[:, _ACTUATED]

    def _tips(self, posture):
        return (self._kinematics.fingertips(posture) @ self._rotation.T + self._position).ravel()

    def _posture(self, angles):
        posture = np.zeros(len(JOINTS))
        posture[_ACTUATED] = angles
        for middle, distal in COUPLED_JOINTS.items():
            posture[JOINTS.index(distal)] = self._drag(posture, middle) + self._play[distal]
        return posture

    def _drag(self, posture, middle):
        return _DISTAL_OVER_MIDDLE * posture[JOINTS.index(middle)]


@cache
def _layer(samples):
    """Weights (20, 15) of goals, biases (20,), and weights (20, 15) of what is missing, for goals less their mean."""
    task, kinematics, random = hand_task("hand_reach"), InverseKinematics(), np.random.default_rng(0)
    assert isinstance(task, HandReachTask)
    goals = np.stack([task.sample_goal(random) for _ in range(samples)])
    targets = np.stack([kinematics.targets(goal) for goal in goals])
    half = (_HIGH - _LOW) / 2
    actions = np.clip((targets - (_HIGH + _LOW) / 2) / half, -0.99, 0.99)
    mean = goals.mean(axis=0)
    inputs = np.concatenate([(goals - mean) / _SCALE, np.ones((samples, 1))], axis=1)
    weights = np.linalg.lstsq(inputs, np.arctanh(actions), rcond=1e-6)[0].T
    feedback = np.stack([kinematics.towards(kinematics.start, _SCALE * step) for step in np.eye(15)], axis=1)
    return weights[:, :-1], weights[:, -1], _FEEDBACK * feedback / half[:, None], mean


def scripted_bundle(directory, samples=60):
    """A bundle of one layer that maps goals, and what is missing to them, to actions.

    A goal of the task moves the thumb and one other finger, so that goals lie near four planes, and one layer suffices.
    """
    weight, bias, feedback, mean = _layer(samples)
    zero = np.zeros(CONTRACT.observation_size)
    layer = np.concatenate([np.zeros((20, zero.size)), weight, feedback], axis=1)
    tensors = {"layer0.weight": layer.astype(np.float32), "layer0.bias": bias.astype(np.float32)}
    for name, center, scale in (("observation", zero, 1.0), ("goal", mean, _SCALE), ("difference", 0 * mean, _SCALE)):
        tensors[f"normalizer.{name}.mean"] = center
        tensors[f"normalizer.{name}.std"] = np.full(center.size, scale)
        tensors[f"normalizer.{name}.clips"] = np.array([200.0, 1e3], np.float32)
    bundle = PolicyBundle(CONTRACT, {}, tensors).with_golden_trace(zero[None], mean[None])
    bundle.save(directory)
    return PolicyBundle.load(directory, "hand_reach")
