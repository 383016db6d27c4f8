"""The batched simulation as a Gymnasium environment: goals, rewards, episodes, randomisation.

`BatchedGoalEnv` is a `VectorEnv`. By default it resets a finished row in the step that finishes it, and the true final
observation is in `info["final_obs"]`. `GoalEnv` is one row as an ordinary environment. Without randomisation a row
that is reset with seed s starts as the Gymnasium-Robotics environment does with seed s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from her_robot import contract as contracts
from her_robot.contract import Contract, FetchContract, HandContract, RobotState, State
from her_robot.domain_rand.actuation import Actuation
from her_robot.domain_rand.anticipation import anticipate
from her_robot.domain_rand.episode_parameters import EpisodeParameters
from her_robot.domain_rand.hand_sensing import HandSensing
from her_robot.domain_rand.physics import Physics
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.domain_rand.pushes import Pushes
from her_robot.domain_rand.sensing import Sensing
from her_robot.domain_rand.timing import Timing
from her_robot.sim.batched import NOMINAL_START, BatchedSimulation, Start
from her_robot.sim.fetch import FetchSimulation
from her_robot.sim.hand import HandSimulation
from her_robot.sim.hand_tasks import hand_task
from her_robot.sim.tasks import fetch_task

RANDOMIZATION_STREAM = 1
"""Keeps the draws of randomisation apart from those of resets, which must be Gymnasium-Robotics' own."""
START_STREAM = 2
"""Keeps what is drawn at the start apart from what is drawn later: a run that is resumed draws it again."""


class BatchedGoalEnv(VectorEnv):
    """N goal environments of one task.

    Observations are dictionaries of float64 arrays: `observation` (num_envs, n) as the policy sees it through the
    randomised sensors, `achieved_goal` and `desired_goal` (num_envs, g) as they are.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        num_envs: int,
        num_threads: int | None = None,
        randomization: RandomizationPreset | None = None,
        autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP,
    ) -> None:
        """
        Args:
            task: name of the task, such as fetch_push.
            num_envs: number of environments.
            num_threads: threads that step them; default: one for each core.
            randomization: what is drawn anew in every episode; default: nothing.
            autoreset_mode: SAME_STEP, or DISABLED: whoever steps the environments resets them all together.
        """
        if autoreset_mode not in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
            raise ValueError(f"autoreset_mode is {autoreset_mode}; SAME_STEP and DISABLED are supported")
        self.metadata = {**self.metadata, "autoreset_mode": autoreset_mode}
        self._autoreset = autoreset_mode is AutoresetMode.SAME_STEP
        self.contract = contracts.contract_of(task)
        self.simulation = simulate(task, num_envs, num_threads)
        self.num_envs = num_envs
        self.single_observation_space = observation_space(self.contract)
        self.single_action_space = action_space(self.contract)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._preset = randomization or RandomizationPreset()
        self._presets = [self._preset] * num_envs
        self._goals = np.zeros((num_envs, self.contract.goal_size))
        self._steps = np.zeros(num_envs, int)
        self._state: Any = None
        self._sensing: Any = None
        self._nominal = np.ones(num_envs, bool)
        self.drawn: list[dict[str, dict[str, Any]]] = [{} for _ in range(num_envs)]
        """What was drawn for the present episode of each row, by section and name; empty in a nominal one."""
        self._parameters = EpisodeParameters(
            self._preset, self.simulation.task.model, self.contract.has_object, num_envs
        )
        self._seed_rows([None] * num_envs)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Of the columns of `parameters`; they follow from task and preset alone."""
        return self._parameters.names

    @property
    def parameters(self) -> np.ndarray:
        """What was drawn for the present episodes, float32 (num_envs, len(parameter_names)), mapped to about [-1, 1]
        by the preset's ranges: what a critic may know in training (`domain_rand.episode_parameters`). A copy."""
        return self._parameters.values.copy()

    def set_presets(self, presets: Sequence[RandomizationPreset]) -> None:
        """Draw the next episodes of each row from a preset of its own, (num_envs,): from ranges within those of the
        environment's preset (`domain_rand.narrowing`). All else, such as noise, stays as the latter says."""
        if len(presets) != self.num_envs:
            raise ValueError(f"{len(presets)} presets for {self.num_envs} environments")
        self._presets = list(presets)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode in every row.

        Args:
            seed: an integer gives row i the seed `seed + i`.
            options: `continued`, boolean (num_envs,): rows that go on where their last episode ended
                (`sim.batched.Start`); default: none.
        """
        if seed is not None:
            self._seed_rows([seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed)
        self._reset_rows(np.arange(self.num_envs), (options or {}).get("continued"))
        return self._observation(self._seen), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control period in every row."""
        self._physics.advance()
        if self._pushes.any and self.contract.has_object:
            self.simulation.push(self._pushes.advance())
        substeps = self._timing.advance()
        effective = self._actuation.apply(actions, _fingers(self._state))
        self._state = self.simulation.step(effective, substeps)
        self._sensing.advance(self._state, substeps / self.simulation.task.substeps)
        self._seen = self._sensing.present(self._state)
        self._steps += 1
        observation = self._observation(self._seen)
        achieved, desired = observation["achieved_goal"], self._goals.copy()
        reward = contracts.sparse_reward(self.contract, achieved, desired)
        success = contracts.is_success(self.contract, achieved, desired)
        truncated = self._steps >= self.contract.episode_steps
        info: dict[str, Any] = {"is_success": success}
        if self._autoreset and truncated.any():
            info["final_obs"] = observation
            self._reset_rows(np.flatnonzero(truncated))
            observation = self._observation(self._seen)
        return observation, reward, np.zeros(self.num_envs, bool), truncated, info

    def true_observation(self) -> np.ndarray:
        """The present observation of perfect sensors, (num_envs, observation_size): for those who may see the truth. A
        Fetch's gripper is ahead of where it is, by some of what is under way (`domain_rand.anticipation`)."""
        observation = contracts.observation(self.contract, self._state)
        if not isinstance(self.contract, FetchContract):
            return observation
        return anticipate(self.contract, observation, self._actuation.under_way())

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any = None) -> np.ndarray:
        """Sparse reward of goals (..., g), float32 (...)."""
        return contracts.sparse_reward(self.contract, achieved_goal, desired_goal)

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the simulation's threads."""
        self.simulation.close()

    def random_states(self) -> list[Mapping[str, Any]]:
        """State of every random generator, to be restored by `set_random_states`."""
        return [rng.bit_generator.state for rng in self._generators()]

    def set_random_states(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue the random draws of an earlier run."""
        for rng, state in zip(self._generators(), states, strict=True):
            rng.bit_generator.state = state

    def _generators(self) -> list[np.random.Generator]:
        return [*self._reset_rngs, self._randomization_rng]

    def _seed_rows(self, seeds: list[int | None]) -> None:
        seeded = [seeding.np_random(seed) for seed in seeds]
        self._reset_rngs = [rng for rng, _ in seeded]
        self._randomization_rng = np.random.default_rng([seeded[0][1], RANDOMIZATION_STREAM])
        rng, preset, task = self._randomization_rng, self._preset, self.simulation.task
        start_rng = np.random.default_rng([seeded[0][1], START_STREAM])
        models, size, period = [row.model for row in self.simulation.rows], self.num_envs, self.contract.control_period
        self._physics = Physics(preset.physics, task.model, models, rng, start_rng, period)
        if isinstance(self.contract, HandContract):
            self._actuation = Actuation(preset.actuation, size, rng, period, self.contract.action_size, False)
            self._sensing = HandSensing(preset.sensing, size, period, rng)
        else:
            self._actuation = Actuation(preset.actuation, size, rng, period)
            self._sensing = Sensing(preset.sensing, size, period, rng)
        self._timing = Timing(preset.timing, size, task.substeps, task.model.opt.timestep, rng)
        self._pushes = Pushes(preset.pushes, size, period, rng)

    def _reset_rows(self, rows: np.ndarray, continued: np.ndarray | None = None) -> None:
        starts = [self._randomize(int(row)) for row in rows]
        if continued is not None:
            starts = [replace(start, continued=bool(on)) for start, on in zip(starts, continued, strict=True)]
        self._goals[rows] = self.simulation.begin(rows.tolist(), [self._reset_rngs[row] for row in rows], starts)
        self._steps[rows] = 0
        self._state = self.simulation.state()
        fingers = _fingers(self._state)
        for row, nominal in zip(rows, self._nominal[rows], strict=True):
            preset = self._presets[row]
            held = None if fingers is None else fingers[row]
            drawn = {
                "actuation": self._actuation.reset(row, nominal, held, preset.actuation),
                "sensing": self._sensing.reset(row, nominal, self._state, preset.sensing),
                "timing": self._timing.reset(row, nominal, preset.timing),
                "pushes": self._pushes.reset(row, nominal, preset.pushes),
            }
            self.drawn[row] |= {section: values for section, values in drawn.items() if values}
            self._parameters.record(row, {} if nominal else self.drawn[row])
        self._seen = self._sensing.present(self._state)

    def _randomize(self, row: int) -> Start:
        """Draw one row's model, and how its episode starts."""
        preset, rng = self._presets[row], self._randomization_rng
        self._nominal[row] = nominal = rng.random() < preset.nominal_fraction
        physics = self._physics.reset(row, nominal, preset.physics)
        self.drawn[row] = {"physics": physics} if physics else {}
        if not self.contract.has_object:
            return NOMINAL_START
        placement = {}
        if not nominal:
            placement["object_yaw"] = float(preset.object_yaw.sample(rng))
            # What is off draws nothing: presets made before it was there keep their draws.
            if preset.finger_gap.high:
                placement["finger_gap"] = float(preset.finger_gap.sample(rng))
            self.drawn[row]["placement"] = placement
        return Start(rise=self._physics.object_rise(row), **placement)

    def _observation(self, seen: State) -> dict[str, np.ndarray]:
        return {
            "observation": contracts.observation(self.contract, seen),
            "achieved_goal": contracts.achieved_goal(self.contract, self._state).copy(),
            "desired_goal": self._goals.copy(),
        }


class GoalEnv(gymnasium.Env):
    """One goal environment, as an ordinary Gymnasium environment that is truncated at the episode's end."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, task: str, randomization: RandomizationPreset | None = None) -> None:
        self._batch = BatchedGoalEnv(task, num_envs=1, randomization=randomization)
        self.contract = self._batch.contract
        self.observation_space = self._batch.single_observation_space
        self.action_space = self._batch.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        observation, info = self._batch.reset(seed=seed, options=options)
        return _first_row(observation), info

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One control period."""
        observation, reward, terminated, truncated, info = self._batch.step(np.asarray(action)[None])
        final = info["final_obs"] if truncated[0] else observation
        success = {"is_success": bool(info["is_success"][0])}
        return _first_row(final), float(reward[0]), bool(terminated[0]), bool(truncated[0]), success

    @property
    def drawn(self) -> dict[str, dict[str, Any]]:
        """What was drawn for the present episode, by section and name; empty in a nominal one."""
        return self._batch.drawn[0]

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any = None) -> np.ndarray:
        """Sparse reward of goals (..., g), float32 (...)."""
        return self._batch.compute_reward(achieved_goal, desired_goal)

    def close(self) -> None:
        """Stop the simulation's threads."""
        self._batch.close()


def simulate(task: str, num_envs: int, num_threads: int | None = None) -> BatchedSimulation:
    """The batched simulation of a task, by its name.

    Raises:
        UnknownNameError: no such task.
    """
    if isinstance(contracts.contract_of(task), HandContract):
        return HandSimulation(hand_task(task), num_envs, num_threads)
    return FetchSimulation(fetch_task(task), num_envs, num_threads)


def observation_space(contract: Contract) -> spaces.Dict:
    """The dictionary space of one environment, as Gymnasium-Robotics declares it."""
    goal = spaces.Box(-np.inf, np.inf, (contract.goal_size,), np.float64)
    observation = spaces.Box(-np.inf, np.inf, (contract.observation_size,), np.float64)
    return spaces.Dict(observation=observation, achieved_goal=goal, desired_goal=goal)


def action_space(contract: Contract) -> spaces.Box:
    """Actions of one environment."""
    return spaces.Box(-1.0, 1.0, (contract.action_size,), np.float32)


def _fingers(state: State) -> np.ndarray | None:
    """Right and left finger of a gripper (n, 2) [m]; None where there is no gripper."""
    return state.finger_position if isinstance(state, RobotState) else None


def _first_row(observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array[0] for name, array in observation.items()}
