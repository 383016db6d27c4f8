"""A run that begins with a trained policy instead of a random one: `her-robot train TASK --from BUNDLE`.

A bundle holds an actor and its normalisers, and no critics. Those learn first what the policy is worth while the policy
plays; then the actor follows them, held back by what the policy would have done, less and less.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from her_robot import configuration
from her_robot.errors import ConfigurationError
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.config import NetworkConfig
from her_robot.policy.learner import Learner
from her_robot.policy.perceptron import Perceptron
from her_robot.policy.recurrent import RecurrentDdpg

_OF_THE_ACTOR = ("hidden_sizes", "layer_norm", "goal_difference", "positions", "nearest_side", "history", "recurrent")
"""What of the networks a policy depends on; the rest is the critics', or a matter of speed."""
_SAMPLES = 1e9
"""Its normalisers count as much as so many samples: with new ones, the policy would see something else and act
otherwise (fetch_slide fell from .86 to .63 in 32 000 steps with as many as 100 000)."""
_LOG_STD = -1.5
"""Of a stochastic actor that begins with a deterministic policy, before tanh."""


def begin_with(learner: Learner, bundle: PolicyBundle, network: NetworkConfig) -> None:
    """Give a new learner the policy of a bundle.

    Args:
        learner: of the same task.
        bundle: of a policy without an LSTM.
        network: of the run.

    Raises:
        ConfigurationError: the policy is of other networks, with what would have to be set.
    """
    _check(learner, bundle, network)
    agent = learner.agent
    assert not isinstance(agent, RecurrentDdpg)
    actor = _with_policy(agent.actor, bundle.tensors, learner.contract.action_size)
    state = agent.state()
    agent.restore(state | {name: actor.parameters for name in state if name.endswith("actor.parameters")})
    learner.anchor = actor
    for name, normalizer in learner.inputs.normalizers.items():
        mean, std = (bundle.tensors[f"normalizer.{name}.{part}"].astype(np.float64) for part in ("mean", "std"))
        normalizer.restore(_SAMPLES * np.concatenate([mean, std**2 + mean**2, [1.0]]))


def _check(learner: Learner, bundle: PolicyBundle, network: NetworkConfig) -> None:
    trained: Mapping[str, Any] = bundle.card["training"]["network"]
    ours = configuration.to_mapping(network)
    # What a policy's version of her_robot did not know yet was as it is by default now; but for the difference.
    sees_difference = "normalizer.difference.mean" in bundle.tensors
    theirs = {**configuration.to_mapping(NetworkConfig()), "goal_difference": sees_difference, **trained}
    # Waypoints are near goals, which whoever was shown goals at any distance knows, and not the other way round.
    names = (*_OF_THE_ACTOR, *(["goal_reach"] if theirs["goal_reach"] else []))
    differing = {name: theirs[name] for name in names if theirs[name] != ours[name]}
    if differing:
        settings = (
            f"--set network.{name}={json.dumps(value, separators=(',', ':'))}" for name, value in differing.items()
        )
        wanted = " ".join(settings)
        raise ConfigurationError(f"{bundle.path}: its policy has other networks than this run; give it {wanted}")
    if isinstance(learner.agent, RecurrentDdpg):
        raise ConfigurationError(f"{bundle.path}: a policy with an LSTM cannot be begun with")


def _with_policy(actor: Perceptron, tensors: Mapping[str, np.ndarray], action_size: int) -> Perceptron:
    """A copy of an actor with the parameters of a bundle."""
    actor = copy.deepcopy(actor)
    for index, layer in enumerate(actor.layers):
        weight, bias = (tensors[f"layer{index}.{part}"] for part in ("weight", "bias"))
        _copy(layer.weight[: len(weight)], weight)
        _copy(layer.bias[: len(bias)], bias)
        layer.bias[len(bias) :] = _LOG_STD
        if layer.scale is not None and layer.shift is not None:
            _copy(layer.scale, tensors[f"norm{index}.weight"])
            _copy(layer.shift, tensors[f"norm{index}.bias"])
    actor.refresh()
    return actor


def _copy(target: Tensor, values: np.ndarray) -> None:
    target.copy_(torch.from_numpy(values.copy()))
