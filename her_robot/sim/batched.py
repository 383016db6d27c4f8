"""Many simulations of one task side by side, stepped natively on all cores.

Each row has an `MjModel` of its own, so that each can be randomised (`domain_rand.physics`), and an `MjData`. A step of
the batch is one `mj_step(model, data, substeps)` a row; MuJoCo releases the GIL meanwhile, so plain threads use all
cores. What Python does for a row is kept to calls of MuJoCo and copies; the arithmetic is done for all rows at once.
The semantics of a step and of a reset are those of Gymnasium-Robotics, and trajectories agree bit by bit where the
model is not randomised. `sim.fetch` and `sim.hand` know the robots.
"""

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import mujoco
import numpy as np

from her_robot.contract import State
from her_robot.sim.tasks import Task

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
"""All of `MjData` that the next step depends on."""


@dataclass(frozen=True)
class Start:
    """How the start of an episode differs from what Gymnasium-Robotics draws."""

    object_yaw: float = 0.0
    """Heading of the object about world z [rad]."""
    rise: float = 0.0
    """How far the object, and so the goal, lies above the nominal height [m]: on a higher table, or as a larger
    object."""
    finger_gap: float = 0.0
    """How far a gripper's fingers are apart [m]."""
    continued: bool = False
    """Whether the robot and its object stay as the row's last episode left them, and the goal alone is new; an object
    that was lost is put down anew all the same. For tasks of the hand."""


NOMINAL_START = Start()
"""As Gymnasium-Robotics draws it."""


class Row:
    """One simulation. Views into `MjData` are taken once: looking them up each step would cost more than reading."""

    def __init__(self, task: Task, initial_state: np.ndarray) -> None:
        self.model = copy.copy(task.model)
        self.data = mujoco.MjData(self.model)
        self._initial_state = initial_state
        self._copied: list[tuple[np.ndarray, np.ndarray]] = []
        """Arrays of the batch, and the views that they are filled from."""
        self.object_force: np.ndarray | None = None
        """Force on the object at its centre of mass, world frame (3,) [N]; None in tasks without an object."""

    def _restore(self) -> None:
        """Put everything back into the task's initial state; nothing of an earlier episode remains."""
        mujoco.mj_setState(self.model, self.data, self._initial_state, STATE)

    def _read(self) -> None:
        """Copy what is read into the batch's arrays."""
        for destination, source in self._copied:
            destination[:] = source


class BatchedSimulation(ABC):
    """N independent simulations of one task."""

    rows: Sequence[Row]

    def __init__(self, task: Task, num_envs: int, num_threads: int | None = None) -> None:
        """
        Args:
            task: what to simulate.
            num_envs: number of rows.
            num_threads: threads that step them; default: one for each core, no more than there are rows.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; at least 1 is needed")
        self.task: Task = task
        self.contract = task.contract
        self.num_envs = num_envs
        self.num_threads = min(num_threads or os.cpu_count() or 1, num_envs)
        # The thread that calls `step` is one of them.
        self._pool = ThreadPoolExecutor(max(self.num_threads - 1, 1), thread_name_prefix="simulation")

    def begin(self, rows: Sequence[int], rngs: Sequence[np.random.Generator], starts: Sequence[Start]) -> np.ndarray:
        """Begin an episode in some rows, with the draws that Gymnasium-Robotics makes.

        Args:
            rows: (n,) indices.
            rngs: (n,), what each row draws from.
            starts: (n,).

        Returns:
            Desired goals (n, goal_size).
        """
        goals = np.zeros((len(rows), self.contract.goal_size))

        def begin(index: int) -> None:
            goals[index] = self._begin(rows[index], rngs[index], starts[index])

        self._for_each(begin, range(len(rows)))
        return goals

    def push(self, forces: np.ndarray) -> None:
        """Push the objects until the next call, at their centres of mass, with `forces` (num_envs, 3), world frame
        [N]."""
        for row, force in zip(self.rows, forces, strict=True):
            if row.object_force is not None:
                row.object_force[:] = force

    def step(self, actions: np.ndarray, substeps: np.ndarray | None = None) -> State:
        """Advance every row by one control period.

        Args:
            actions: (num_envs, action_size), clipped to [-1, 1].
            substeps: physics steps of each row, int (num_envs,); default: those of the task.
        """
        actions = np.clip(np.asarray(actions, dtype=np.float32), -1.0, 1.0)
        expected = (self.num_envs, self.contract.action_size)
        if actions.shape != expected:
            raise ValueError(f"actions have shape {actions.shape}, expected {expected}")
        counts = [self.task.substeps] * self.num_envs if substeps is None else substeps.tolist()
        self._step(actions, counts)
        return self.state()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    @abstractmethod
    def state(self) -> State:
        """The present state of all rows, arrays with leading axis num_envs."""

    @abstractmethod
    def _begin(self, row: int, rng: np.random.Generator, start: Start) -> np.ndarray:
        """Begin an episode in one row, and return its desired goal (goal_size,)."""

    @abstractmethod
    def _step(self, actions: np.ndarray, substeps: Sequence[int]) -> None:
        """Advance every row by so many physics steps under float32 actions (num_envs, action_size) in [-1, 1]."""

    def _for_each(self, work: Callable[[int], None], rows: Iterable[int]) -> None:
        """Do `work` for `rows` in all threads. Each takes the next row when it is free: rows in contact take longer."""
        remaining = iter(rows)

        def take() -> None:
            for row in remaining:
                work(row)

        others = [self._pool.submit(take) for _ in range(self.num_threads - 1)]
        take()
        for other in others:
            other.result()


def initial_state(task: Task) -> np.ndarray:
    """A task's initial state, the object wherever it was compiled, as MuJoCo's integration state."""
    data = mujoco.MjData(task.model)
    data.time = task.initial_time
    data.qpos[:] = task.initial_qpos
    data.qvel[:] = task.initial_qvel
    state = np.zeros(mujoco.mj_stateSize(task.model, STATE))
    mujoco.mj_getState(task.model, data, state, STATE)
    return state
