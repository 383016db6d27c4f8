"""A policy that gives the same action always."""

import numpy as np

from her_robot.contract import contract_of
from her_robot.policy.bundle import PolicyBundle


def constant_bundle(task, action, directory):
    """A bundle whose network is one layer that gives the same action always."""
    contract = contract_of(task)
    sizes = {"observation": contract.observation_size, "goal": contract.goal_size}
    tensors = {
        "layer0.weight": np.zeros((contract.action_size, sum(sizes.values())), np.float32),
        "layer0.bias": np.arctanh(np.array(action, np.float32)),
    }
    for name, size in sizes.items():
        tensors[f"normalizer.{name}.mean"] = np.zeros(size, np.float32)
        tensors[f"normalizer.{name}.std"] = np.ones(size, np.float32)
        tensors[f"normalizer.{name}.clips"] = np.array([200.0, 5.0], np.float32)
    inputs = (np.zeros((2, size), np.float32) for size in sizes.values())
    PolicyBundle(contract, {}, tensors).with_golden_trace(*inputs).save(directory)
    return PolicyBundle.load(directory, task)
