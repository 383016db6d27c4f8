"""The simulation on a device as a goal environment: goals, rewards, episodes, randomisation, as in `sim.goal_env`.

Everything that is returned is a tensor on the device, float32. The draws of resets are Gymnasium-Robotics' own, made on
the host seed by seed as they are on the CPU, so that an episode begins there where it begins here; those of
randomisation, of which there are far more, are the device's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from torch import Tensor

from her_robot import arrays
from her_robot import contract as contracts
from her_robot.contract import HandContract, RobotState, State
from her_robot.domain_rand.actuation import Actuation
from her_robot.domain_rand.hand_sensing import HandSensing
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.domain_rand.pushes import Pushes
from her_robot.domain_rand.sensing import Sensing
from her_robot.errors import BackendError
from her_robot.sim.goal_env import RANDOMIZATION_STREAM, START_STREAM
from her_robot.sim.hand_tasks import HandTask, hand_task
from her_robot.sim.tasks import FetchTask, fetch_task
from her_robot.sim.warp.fetch import WarpFetchSimulation
from her_robot.sim.warp.generator import DeviceGenerator
from her_robot.sim.warp.hand import WarpHandSimulation
from her_robot.sim.warp.physics import WarpPhysics, check_variations, varied_fields
from her_robot.sim.warp.simulation import Starts, WarpSimulation


class WarpGoalEnv:
    """N goal environments of one task. Observations are dictionaries of tensors: `observation` (num_envs, n) as the
    policy sees it through the randomised sensors, `achieved_goal` and `desired_goal` (num_envs, g) as they are."""

    def __init__(
        self,
        task: str | FetchTask | HandTask,
        num_envs: int,
        device: str | torch.device = "cuda",
        randomization: RandomizationPreset | None = None,
        autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP,
    ) -> None:
        """
        Args:
            task: such as fetch_push, or what is to be simulated.
            num_envs: number of environments.
            device: cuda, cuda:1 ... or cpu, which is for tests.
            randomization: what is drawn anew in every episode; default: nothing.
            autoreset_mode: SAME_STEP, or DISABLED: whoever steps the environments resets them all together.

        Raises:
            BackendError: the simulation cannot run here, or the preset asks for what it does not know yet.
        """
        if autoreset_mode not in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
            raise ValueError(f"autoreset_mode is {autoreset_mode}; SAME_STEP and DISABLED are supported")
        self._autoreset = autoreset_mode is AutoresetMode.SAME_STEP
        self._preset = preset = randomization or RandomizationPreset()
        check_preset(preset)
        self.simulation = simulate(task, num_envs, device, preset)
        self.contract, self.num_envs, self.device = self.simulation.contract, num_envs, self.simulation.device
        with self.device:
            self._goals = torch.zeros(num_envs, self.contract.goal_size)
            self._steps = torch.zeros(num_envs, dtype=torch.long)
        self._seed_rows([None] * num_envs)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Of what was drawn for an episode, where critics may see it; not here yet."""
        return ()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Begin an episode in every row. An integer seed gives row i the seed `seed + i`."""
        if seed is not None:
            self._seed_rows([seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed)
        self._reset_rows(torch.arange(self.num_envs, device=self.device))
        return self._observation(), {}

    def step(self, actions: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """One control period in every row, under `actions` (num_envs, action_size)."""
        with self.device:
            if self._pushes.any and self.contract.has_object:
                self.simulation.push(self._pushes.advance())
            effective = self._actuation.apply(actions, _fingers(self._state))
            self._state = self.simulation.step(effective)
            self._sensing.advance(self._state)
            self._seen = self._sensing.present(self._state)
        self._steps += 1
        observation = self._observation()
        achieved, desired = observation["achieved_goal"], arrays.copy(self._goals)
        reward: Any = contracts.sparse_reward(self.contract, achieved, desired)
        success = contracts.is_success(self.contract, achieved, desired)
        truncated = self._steps >= self.contract.episode_steps
        info: dict[str, Any] = {"is_success": success}
        if self._autoreset and truncated.any():
            info["final_obs"] = observation
            self._reset_rows(truncated.nonzero()[:, 0])
            observation = self._observation()
        return observation, reward, torch.zeros_like(truncated), truncated, info

    def close(self) -> None:
        """Nothing to stop: memory is freed with the last reference."""

    def random_states(self) -> list[Mapping[str, Any]]:
        """State of every random generator, to be restored by `set_random_states`."""
        return [rng.bit_generator.state for rng in self._generators()]

    def set_random_states(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue the random draws of an earlier run."""
        for rng, state in zip(self._generators(), states, strict=True):
            rng.bit_generator.state = state

    def _generators(self) -> list[Any]:
        return [*self._reset_rngs, self._randomization_rng]

    def _seed_rows(self, seeds: list[int | None]) -> None:
        seeded = [seeding.np_random(seed) for seed in seeds]
        self._reset_rngs = [rng for rng, _ in seeded]
        rng, start_rng = (
            DeviceGenerator.of_seeds([seeded[0][1], stream], self.device)
            for stream in (RANDOMIZATION_STREAM, START_STREAM)
        )
        self._randomization_rng = rng
        preset, period, xp = self._preset, self.contract.control_period, torch
        simulation, count = self.simulation, self.num_envs
        self._physics = WarpPhysics(
            preset.physics, simulation.task.model, simulation.worlds.model, simulation.worlds.data, rng, start_rng
        )
        with self.device:
            self._sensing: Any
            if isinstance(self.contract, HandContract):
                size = self.contract.action_size
                self._actuation = Actuation(preset.actuation, count, rng, period, size, has_gripper=False, xp=xp)
                self._sensing = HandSensing(preset.sensing, count, period, rng, xp)
            else:
                self._actuation = Actuation(preset.actuation, count, rng, period, xp=xp)
                self._sensing = Sensing(preset.sensing, count, period, rng, xp)
            self._pushes = Pushes(preset.pushes, count, period, rng, xp)

    def _reset_rows(self, rows: Tensor) -> None:
        rng, preset = self._randomization_rng, self._preset
        nominal = rng.random(len(rows)) < preset.nominal_fraction
        self._physics.reset(rows, nominal)
        yaw, gap = (
            torch.where(nominal, 0.0, placement.sample(rng, len(rows)))
            for placement in (preset.object_yaw, preset.finger_gap)
        )
        rngs = [self._reset_rngs[row] for row in rows.tolist()]
        self._goals[rows] = self.simulation.begin(rows, rngs, Starts(yaw, self._physics.object_rise[rows], gap))
        self._steps[rows] = 0
        self._state = self.simulation.state()
        fingers = _fingers(self._state)
        with self.device:
            self._actuation.reset(rows, nominal, None if fingers is None else fingers[rows])
            self._sensing.reset(rows, nominal, self._state)
            self._pushes.reset(rows, nominal)
            self._seen: State = self._sensing.present(self._state)

    def _observation(self) -> dict[str, Any]:
        return {
            "observation": contracts.observation(self.contract, self._seen),
            "achieved_goal": arrays.copy(contracts.achieved_goal(self.contract, self._state)),
            "desired_goal": self._goals.clone(),
        }


def simulate(
    task: str | FetchTask | HandTask, num_envs: int, device: str | torch.device, preset: RandomizationPreset
) -> WarpSimulation:
    """The simulation of a task, by its name, whose models a preset may vary.

    Raises:
        UnknownNameError: no such task.
        BackendError: the simulation cannot run here.
    """
    if isinstance(task, str):
        task = hand_task(task) if isinstance(contracts.contract_of(task), HandContract) else fetch_task(task)
    varied = varied_fields(task.model, preset.physics)
    if isinstance(task, FetchTask):
        return WarpFetchSimulation(task, num_envs, device, varied)
    return WarpHandSimulation(task, num_envs, device, varied)


def check_preset(preset: RandomizationPreset) -> None:
    """Refuse what is not carried to the device yet.

    Raises:
        BackendError: names it.
    """
    if preset.timing.lateness_rate is not None:
        raise BackendError(
            "timing.lateness_rate: with --sim warp all worlds take the same number of physics steps in a control "
            "period; leave it out, or use --sim cpu"
        )
    check_variations(preset.physics)


def _fingers(state: State) -> Any:
    """Right and left finger of a gripper (n, 2) [m]; None where there is no gripper."""
    return state.finger_position if isinstance(state, RobotState) else None
