"""From a learner to a policy bundle."""

import importlib.metadata
import platform
from typing import Any

import numpy as np
import torch

from her_robot import configuration
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.policy.bundle import MemoryContract, PolicyBundle
from her_robot.policy.config import TrainConfig
from her_robot.policy.learner import Learner
from her_robot.policy.normalizer import Normalizer
from her_robot.policy.recurrent import RecurrentDdpg

_GOLDEN_STEPS, _GOLDEN_EPISODES = 64, 4
_PACKAGES = ("her_robot", "mujoco", "gymnasium-robotics", "gymnasium", "torch", "numpy")


def export_bundle(learner: Learner, config: TrainConfig, preset: RandomizationPreset) -> PolicyBundle:
    """The learner's policy, its normalisers, and a golden trace over what it has met."""
    tensors = {**_actor_tensors(learner), "inputs.columns": learner.inputs.columns}
    for name, normalizer in learner.inputs.normalizers.items():
        tensors |= _normalizer_tensors(name, normalizer)
    card = {
        "training": configuration.to_mapping(config),
        "randomization": configuration.to_mapping(preset),
        "versions": versions(),
    }
    if learner.inputs.sides is not None:
        tensors["inputs.sides"] = learner.inputs.sides
    if learner.inputs.goal_reach:
        tensors["inputs.goal_reach"] = np.array([learner.inputs.goal_reach])
    remembers = MemoryContract(config.network.history)
    if config.network.history:
        tensors["inputs.past_columns"] = learner.inputs.past_columns
    if isinstance(learner.agent, RecurrentDdpg):
        tensors |= _lstm_tensors(learner.agent.averaged_actor.lstm)
        remembers = MemoryContract(recurrent_size=config.network.recurrent_size)
    bundle = PolicyBundle(learner.contract, card, tensors, remembers=remembers)
    return bundle.with_golden_trace(*_golden_inputs(learner, config.network.remembers))


def versions() -> dict[str, Any]:
    """Versions of what a policy's behaviour depends on."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _golden_inputs(learner: Learner, whole_episodes: bool) -> tuple[np.ndarray, np.ndarray]:
    """Observations and desired goals that were met in training, one by one or in whole episodes."""
    episodes, rng = learner.buffer.episodes, np.random.default_rng(0)
    count, steps = episodes.action.shape[:2]
    if whole_episodes:
        episode = rng.integers(count, size=_GOLDEN_EPISODES)
        return episodes.observation[episode, :steps].cpu().numpy(), episodes.desired_goal[episode].cpu().numpy()
    episode, step = rng.integers(count, size=_GOLDEN_STEPS), rng.integers(steps, size=_GOLDEN_STEPS)
    return episodes.observation[episode, step].cpu().numpy(), episodes.desired_goal[episode].cpu().numpy()


def _actor_tensors(learner: Learner) -> dict[str, np.ndarray]:
    tensors, layers = {}, learner.agent.averaged_actor.layers
    for index, layer in enumerate(layers):
        # Of a stochastic actor's outputs, only the means act.
        rows = learner.contract.action_size if index == len(layers) - 1 else len(layer.bias)
        tensors |= {f"layer{index}.weight": layer.weight[:rows], f"layer{index}.bias": layer.bias[:rows]}
        if layer.scale is not None and layer.shift is not None:
            tensors |= {f"norm{index}.weight": layer.scale, f"norm{index}.bias": layer.shift}
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def _lstm_tensors(lstm: torch.nn.LSTM) -> dict[str, np.ndarray]:
    """Weights of an LSTM, and the state that episodes begin with in training."""
    weight_inputs, weight_hidden, *biases = lstm.parameters()
    initial = torch.zeros(lstm.hidden_size)
    tensors = {
        "weight_inputs": weight_inputs,
        "weight_hidden": weight_hidden,
        "bias": biases[0] + biases[1],
        "initial_hidden": initial,
        "initial_cell": initial,
    }
    return {f"lstm.{name}": tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def _normalizer_tensors(name: str, normalizer: Normalizer) -> dict[str, np.ndarray]:
    clips = np.array([normalizer.config.observation_clip, normalizer.config.normalized_clip], np.float32)
    return {
        f"normalizer.{name}.mean": normalizer.mean.cpu().numpy().copy(),
        f"normalizer.{name}.std": normalizer.std.cpu().numpy().copy(),
        f"normalizer.{name}.clips": clips,
    }
