"""From a learner to a policy bundle."""

import importlib.metadata
import platform
from typing import Any

import numpy as np

from her_robot import configuration
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.config import TrainConfig
from her_robot.policy.learner import Learner
from her_robot.policy.normalizer import Normalizer

_GOLDEN_STEPS = 64
_PACKAGES = ("her_robot", "mujoco", "gymnasium-robotics", "gymnasium", "torch", "numpy")


def export_bundle(learner: Learner, config: TrainConfig, preset: RandomizationPreset) -> PolicyBundle:
    """The learner's policy, its normalisers, and a golden trace over what it has met."""
    tensors = _actor_tensors(learner)
    tensors |= _normalizer_tensors("observation", learner.observation_normalizer, config)
    tensors |= _normalizer_tensors("goal", learner.goal_normalizer, config)
    card = {
        "training": configuration.to_mapping(config),
        "randomization": configuration.to_mapping(preset),
        "versions": versions(),
    }
    episodes = learner.buffer.episodes
    rng = np.random.default_rng(0)
    episode, step = learner.buffer.draw(_GOLDEN_STEPS, rng)
    bundle = PolicyBundle(learner.contract, card, tensors)
    return bundle.with_golden_trace(episodes.observation[episode, step], episodes.desired_goal[episode])


def versions() -> dict[str, Any]:
    """Versions of what a policy's behaviour depends on."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _actor_tensors(learner: Learner) -> dict[str, np.ndarray]:
    state = {name: tensor.detach().cpu().numpy() for name, tensor in learner.agent.actor.layers.state_dict().items()}
    modules = sorted({int(name.split(".")[0]) for name in state})
    linear = [index for index in modules if state[f"{index}.weight"].ndim == 2]
    tensors = {}
    for layer, index in enumerate(linear):
        tensors |= {f"layer{layer}.{part}": state[f"{index}.{part}"] for part in ("weight", "bias")}
        if f"{index + 1}.weight" in state and index + 1 not in linear:
            tensors |= {f"norm{layer}.{part}": state[f"{index + 1}.{part}"] for part in ("weight", "bias")}
    return tensors


def _normalizer_tensors(name: str, normalizer: Normalizer, config: TrainConfig) -> dict[str, np.ndarray]:
    clips = np.array([config.normalizer.observation_clip, config.normalizer.normalized_clip], np.float32)
    return {
        f"normalizer.{name}.mean": normalizer.mean,
        f"normalizer.{name}.std": normalizer.std,
        f"normalizer.{name}.clips": clips,
    }
