"""The policy bundle: all that a robot needs of a policy, in a folder of two files, run with numpy alone.

`policy.safetensors` holds the weights, the normaliser and a golden trace; `policy.json` holds the contract, how the
policy was made, how well it works, and the hash of the other file. Loading checks the hashes, compares the contract
field by field with this version's, and replays the golden trace; whatever does not match is refused.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from her_robot import configuration, resources
from her_robot.configuration import write_atomically
from her_robot.contract import Contract, contract_of, differences, goal_difference, term_slice, waypoint
from her_robot.contract.symmetry import show_nearest_side
from her_robot.errors import BundleError, ConfigurationError, UnknownNameError
from her_robot.policy import lstm
from her_robot.policy.episode_memory import EpisodeMemory

FORMAT_VERSION, MEMORY_FORMAT_VERSION = 1, 2
"""Of a policy that sees the present alone, and of one that remembers: a her_robot that cannot run that, refuses it."""
_JSON_FILE, _TENSOR_FILE = "policy.json", "policy.safetensors"
_LAYER_NORM_EPSILON = 1e-5
_GOLDEN_TOLERANCE = 1e-4
"""Largest difference of a replayed action: float32 sums in another order differ by about 1e-6."""


@dataclass(frozen=True)
class MemoryContract:
    """What of an episode a policy remembers."""

    history: int = 0
    """How many pairs of observation and action before the present observation it sees."""
    recurrent_size: int = 0
    """Units of its LSTM; 0 where it has none."""

    def __bool__(self) -> bool:
        return self != MemoryContract()


@dataclass(frozen=True)
class PolicyBundle:
    """A policy for one task, ready to act."""

    contract: Contract
    card: Mapping[str, Any]
    """How the policy was made and how well it works: training, randomisation, versions, success."""
    tensors: Mapping[str, np.ndarray]
    path: Path | None = None
    remembers: MemoryContract = MemoryContract()

    def memory(self) -> EpisodeMemory:
        """What this policy remembers at the start of an episode: nothing."""
        # An LSTM sees its last action beside the present.
        return EpisodeMemory(1 if self.remembers.recurrent_size else self.remembers.history, self.contract.action_size)

    def act(self, observation: np.ndarray, desired_goal: np.ndarray, memory: EpisodeMemory | None = None) -> np.ndarray:
        """Deterministic actions in [-1, 1].

        Args:
            observation: (..., observation_size), in the contract's order and units.
            desired_goal: (..., goal_size).
            memory: of the episode so far, from `memory()`; it takes in this step. A policy that remembers nothing needs
                none.

        Returns:
            (..., action_size) float32.

        Raises:
            ValueError: a last axis of another size than the contract's, or no memory where the policy has one.
        """
        sizes = observation.shape[-1], desired_goal.shape[-1]
        expected = self.contract.observation_size, self.contract.goal_size
        if sizes != expected:
            raise ValueError(f"observation and goal have sizes {sizes}; {self.contract.task} has {expected}")
        if not self.remembers:
            return self._network(self._inputs(observation, desired_goal))
        if memory is None:
            raise ValueError("this policy remembers its episode: give act() the same memory() at every step of it")
        seen = [self._inputs(observation, desired_goal)]
        if self.remembers.history:
            seen.append(self._past(observation, desired_goal, memory))
        if self.remembers.recurrent_size:
            seen.append(self._recall(seen[0], observation, memory))
        action = self._network(np.concatenate(seen, axis=-1))
        memory.record(observation, action)
        return action

    def _inputs(self, observation: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        """What the network sees of the present, float32 (..., inputs)."""
        everything = self._everything(observation, desired_goal)
        return everything[..., self.tensors["inputs.columns"]] if "inputs.columns" in self.tensors else everything

    def _past(self, observation: np.ndarray, desired_goal: np.ndarray, memory: EpisodeMemory) -> np.ndarray:
        """What the network sees of the past, float32 (..., history * (inputs without the goal + action_size))."""
        observations, actions = memory.before(observation)
        goals = np.broadcast_to(desired_goal[..., None, :], (*observations.shape[:-1], desired_goal.shape[-1]))
        seen = self._everything(observations, goals)[..., self.tensors["inputs.past_columns"]]
        return np.concatenate([seen, actions], axis=-1).reshape(*observation.shape[:-1], -1)

    def _recall(self, present: np.ndarray, observation: np.ndarray, memory: EpisodeMemory) -> np.ndarray:
        """What the LSTM makes of the episode so far, float32 (..., recurrent_size)."""
        _, actions = memory.before(observation)
        state = memory.state or lstm.initial_state(self.tensors, present.shape[:-1])
        memory.state = lstm.step(self.tensors, np.concatenate([present, actions[..., 0, :]], axis=-1), state)
        return memory.state[0]

    def _everything(self, observation: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        if "inputs.goal_reach" in self.tensors:
            achieved = observation[..., term_slice(self.contract, self.contract.goal.name)]
            desired_goal = waypoint(self.contract, achieved, desired_goal, float(self.tensors["inputs.goal_reach"][0]))
        if "inputs.sides" in self.tensors:
            sides = self.tensors["inputs.sides"]
            observation, desired_goal = show_nearest_side(self.contract, observation, desired_goal, sides)
        seen = {"observation": observation, "goal": desired_goal}
        if "normalizer.difference.mean" in self.tensors:
            achieved = observation[..., term_slice(self.contract, self.contract.goal.name)]
            seen["difference"] = goal_difference(self.contract, achieved, desired_goal)
        return np.concatenate([self._normalized(*item) for item in seen.items()], axis=-1).astype(np.float32)

    def _network(self, hidden: np.ndarray) -> np.ndarray:
        """Actions (..., action_size) for what the network sees (..., inputs)."""
        depth = sum(name.endswith(".weight") and name.startswith("layer") for name in self.tensors)
        for index in range(depth):
            hidden = hidden @ self.tensors[f"layer{index}.weight"].T + self.tensors[f"layer{index}.bias"]
            if index < depth - 1:
                hidden = np.maximum(self._layer_norm(index, hidden), 0.0)
        return np.tanh(hidden)

    def _normalized(self, name: str, values: np.ndarray) -> np.ndarray:
        mean, std, clips = (self.tensors[f"normalizer.{name}.{part}"] for part in ("mean", "std", "clips"))
        return np.clip((np.clip(values, -clips[0], clips[0]) - mean) / std, -clips[1], clips[1])

    def _layer_norm(self, index: int, values: np.ndarray) -> np.ndarray:
        if f"norm{index}.weight" not in self.tensors:
            return values
        centred = values - values.mean(axis=-1, keepdims=True)
        scale = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + _LAYER_NORM_EPSILON)
        return centred / scale * self.tensors[f"norm{index}.weight"] + self.tensors[f"norm{index}.bias"]

    def with_golden_trace(self, observation: np.ndarray, desired_goal: np.ndarray) -> "PolicyBundle":
        """This bundle with a trace of inputs and its own actions, to be replayed whenever it is loaded.

        Args:
            observation: (n, observation_size), or (n, steps, observation_size): episodes, for a policy that remembers.
            desired_goal: (n, goal_size).
        """
        trace = {
            "golden.observation": observation.astype(np.float32),
            "golden.desired_goal": desired_goal.astype(np.float32),
        }
        trace["golden.action"] = self._play(*trace.values())
        return dataclasses.replace(self, tensors={**self.tensors, **trace})

    def _play(self, observation: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        """Actions for a golden trace's inputs, one by one or, of a policy that remembers, step by step."""
        if not self.remembers:
            return self.act(observation, desired_goal)
        memory = self.memory()
        steps = np.moveaxis(observation, 1, 0)
        return np.stack([self.act(step, desired_goal, memory) for step in steps], axis=1)

    def with_card(self, **entries: Any) -> "PolicyBundle":
        """This bundle with more entries on its card."""
        return dataclasses.replace(self, card={**self.card, **entries})

    @property
    def begins_open(self) -> bool:
        """Whether its episodes in training began with open fingers, so that a robot's have to, too."""
        return self.card.get("randomization", {}).get("finger_gap", {}).get("high", 0.0) > 0.0

    def save(self, directory: Path) -> None:
        """Write both files, each atomically; the JSON file, which names the other's hash, comes last."""
        payload = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in self.tensors.items()})
        content = {
            "format_version": MEMORY_FORMAT_VERSION if self.remembers else FORMAT_VERSION,
            "task": self.contract.task,
            "contract": _plain(self.contract),
            **({"memory": dataclasses.asdict(self.remembers)} if self.remembers else {}),
            "tensors_sha256": hashlib.sha256(payload).hexdigest(),
            **self.card,
        }
        content["sha256"] = _content_hash(content)
        write_atomically(directory / _TENSOR_FILE, payload)
        write_atomically(directory / _JSON_FILE, json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path, task: str | None = None) -> "PolicyBundle":
        """Read and check a bundle.

        Args:
            directory: the bundle's folder.
            task: refuse a bundle for another task; default: any task.

        Raises:
            BundleError: the bundle is missing, truncated, altered, of another version or task, differs from the
            contract
                (the message names the fields), or acts otherwise than when it was made.
        """
        content = _read_json(directory)
        payload = _read(directory / _TENSOR_FILE)
        _check_content(directory, content, payload, task)
        try:
            tensors = safetensors.numpy.load(payload)
        except (safetensors.SafetensorError, ValueError, KeyError) as error:
            raise BundleError(f"{directory / _TENSOR_FILE}: not a safetensors file: {error}") from None
        card = {key: value for key, value in content.items() if key not in (*_RESERVED, "memory")}
        bundle = cls(contract_of(content["task"]), card, tensors, directory, _memory_contract(directory, content))
        bundle._replay_golden_trace()
        return bundle

    def _replay_golden_trace(self) -> None:
        try:
            observation, goal, expected = (
                self.tensors[f"golden.{part}"] for part in ("observation", "desired_goal", "action")
            )
            error = float(np.abs(self._play(observation, goal) - expected).max())
        except (KeyError, IndexError, ValueError) as missing:
            raise BundleError(f"{self.path}: the tensors do not make a policy: {missing}") from None
        if not error <= _GOLDEN_TOLERANCE:
            raise BundleError(
                f"{self.path}: the golden trace is off by {error:.2g} (at most {_GOLDEN_TOLERANCE:g}): this machine or "
                "version of her_robot computes other actions than the one that made the bundle"
            )


def shipped_bundle(task: str) -> Path:
    """The folder of the bundle that ships with her_robot for a task.

    Raises:
        UnknownNameError: no such task.
        BundleError: none ships for this task.
    """
    contract_of(task)
    path = resources.share_directory() / "policies" / task
    if not (path / _JSON_FILE).is_file():
        raise BundleError(
            f"no policy ships for {task}; train one with `her-robot train {task}` and name it with --policy"
        )
    return path


def shipped_teacher(task: str) -> Path:
    """The folder of the bundle that teaches other policies of a task: one that sees the truth alone and remembers
    nothing, where what ships for robots is another; or else that.

    Raises:
        UnknownNameError: no such task.
        BundleError: none ships for this task.
    """
    path = resources.share_directory() / "policies" / "teachers" / task
    return path if (path / _JSON_FILE).is_file() else shipped_bundle(task)


_RESERVED = ("format_version", "task", "contract", "tensors_sha256", "sha256")


def _check_content(directory: Path, content: dict[str, Any], payload: bytes, task: str | None) -> None:
    where = directory / _JSON_FILE
    missing = [key for key in _RESERVED if key not in content]
    if missing:
        raise BundleError(f"{where}: missing {', '.join(missing)}; this is not a policy bundle, or a truncated one")
    if content["format_version"] not in (FORMAT_VERSION, MEMORY_FORMAT_VERSION):
        raise BundleError(
            f"{where}: format version {content['format_version']!r}, this her_robot reads version {FORMAT_VERSION} and "
            f"{MEMORY_FORMAT_VERSION}"
        )
    if content["sha256"] != _content_hash(content):
        raise BundleError(
            f"{where}: altered since it was written (its hash does not match); restore it, or export it anew"
        )
    if content["tensors_sha256"] != hashlib.sha256(payload).hexdigest():
        raise BundleError(f"{directory / _TENSOR_FILE}: truncated or altered (its hash is not the one in {_JSON_FILE})")
    if task is not None and content["task"] != task:
        raise BundleError(f"{directory}: a policy for {content['task']}, not for {task}")
    try:
        contract = contract_of(content["task"])
    except UnknownNameError as error:
        raise BundleError(f"{where}: {error}") from None
    differing = differences(_plain(contract), content["contract"])
    if differing:
        raise BundleError(f"{where}: made for another contract:\n  " + "\n  ".join(differing))


def _memory_contract(directory: Path, content: dict[str, Any]) -> MemoryContract:
    """What a bundle's policy remembers.

    Raises:
        BundleError: it is not said, or is something that this version does not know.
    """
    if content["format_version"] == FORMAT_VERSION:
        return MemoryContract()
    try:
        return configuration.build(MemoryContract, content["memory"], f"{directory / _JSON_FILE}: memory")
    except KeyError:
        raise BundleError(f"{directory / _JSON_FILE}: missing memory, what the policy remembers") from None
    except ConfigurationError as error:
        raise BundleError(str(error)) from None


def _read_json(directory: Path) -> dict[str, Any]:
    path = directory / _JSON_FILE
    try:
        content = json.loads(_read(path))
    except ValueError as error:
        raise BundleError(f"{path}: truncated or not JSON: {error}") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path}: expected a JSON object")
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}); "
            f"a policy bundle is a folder with {_JSON_FILE} and {_TENSOR_FILE}"
        ) from None


def _plain(contract: Contract) -> dict[str, Any]:
    """A contract as it is after a round trip through JSON."""
    return json.loads(json.dumps(dataclasses.asdict(contract)))


def _content_hash(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
