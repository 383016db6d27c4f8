"""Improving an actor by what critics say of its actions, while the critics themselves go on learning.

An improvement starts from the critics as they are then, and is taken over when the next one starts. So the outcome does
not depend on where it is computed: here, or in a process beside this one, on another core. A thread would not do:
between operations this small, threads wait for each other to let go of the interpreter.
"""

import signal
import traceback
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.multiprocessing as multiprocessing
from torch import Tensor

from her_robot.errors import ImprovementError
from her_robot.policy.adam import adam
from her_robot.policy.allocator import keep_freed_memory
from her_robot.policy.config import AgentConfig
from her_robot.policy.perceptron import Perceptron

_READY = "ready"
_PATIENCE_S = 5.0
"""How long the process may take to end when it is told to."""


def value_gradient(critics: list[Perceptron], inputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Value (n,) of actions (n, actions), and its gradient with respect to them, by the smallest of the critics.

    Args:
        critics: one or more; each sees inputs and actions side by side.
        inputs: (n, inputs).
        actions: (n, actions).
    """
    joined = torch.cat([inputs, actions], dim=-1)
    passes = [critic.forward(joined) for critic in critics]
    values = torch.cat([value for value, _ in passes], dim=-1)
    smallest, index = values.min(dim=-1)
    gradients = torch.zeros_like(actions)
    for i, (critic, (_, tape)) in enumerate(zip(critics, passes, strict=True)):
        chosen = (index == i).float()[:, None]
        gradients += critic.input_gradient(tape, chosen)[:, inputs.shape[-1] :]
    return smallest, gradients


class Improvement:
    """Steps of deterministic policy gradient (Silver et al. 2014), with Adam."""

    def __init__(
        self,
        actor: Perceptron,
        critics: list[Perceptron],
        config: AgentConfig,
        average: Callable[[Tensor], None] = lambda tensor: None,
        moments: Mapping[str, Tensor] | None = None,
    ) -> None:
        """
        Args:
            actor: is improved.
            critics: judge; the smallest of their values counts.
            config: its learning rate and its weight of squared actions.
            average: called on every gradient before it is applied.
            moments: Adam's, to go on with; they are kept up to date in place.
        """
        self.actor, self.critics = actor, critics
        self.config, self._average = config, average
        self.optimizer = adam(actor, config.learning_rate, moments)

    def step(self, inputs: Tensor, example_actions: Tensor | None, imitation: float) -> Tensor:
        """One step by the critics' present parameters; returns the mean value of the actor's actions before it.

        Args:
            inputs: (n, inputs + privileged), of which the actor sees what all see.
            example_actions: examples to imitate, (n, actions), not numbers where there is none; or None.
            imitation: weight of the mean squared difference from them.
        """
        for critic in self.critics:
            critic.refresh()
        outputs, tape = self.actor.forward(inputs[:, : self.actor.inputs])
        actions = torch.tanh(outputs)
        value, gradient_of_value = value_gradient(self.critics, inputs, actions)
        gradient = (2.0 * self.config.action_l2) * actions
        if example_actions is not None:
            gradient += (2.0 * imitation) * (actions - example_actions).nan_to_num_()
        gradient = gradient / actions.numel() - gradient_of_value / len(actions)
        self.actor.backward(tape, gradient * (1.0 - actions.square()))
        self._average(self.actor.gradient)
        self.optimizer.step()
        self.actor.refresh()
        return value.mean()


class Improver:
    """Computes one improvement at a time, here or beside."""

    def __init__(self, improvement: Improvement, beside: bool) -> None:
        """
        Args:
            improvement: with networks of its own, which nobody else changes.
            beside: compute in another process, on the CPU, as soon as that is up.
        """
        self._improvement, self._beside = improvement, beside
        self._process: _Beside | None = None
        self._value: Tensor | None = None

    def start(
        self, critics: list[Perceptron], inputs: Tensor, example_actions: Tensor | None, imitation: float
    ) -> None:
        """Begin an improvement; `critics` may change from now on. The arguments are those of `Improvement.step`."""
        for own, critic in zip(self._improvement.critics, critics, strict=True):
            own.parameters.copy_(critic.parameters)
        if self._beside and self._process is None:
            self._process = _Beside(self._improvement, inputs.shape)
        if self._process is not None and self._process.is_ready():
            self._process.start(inputs, example_actions, imitation)
            return
        self._value = self._improvement.step(inputs, example_actions, imitation)

    def finish(self, actor: Perceptron) -> Tensor | None:
        """Have `actor` take over the improvement that was begun; returns the mean value before it, None if none was.

        Raises:
            ImprovementError: the process beside failed or was killed.
        """
        value, self._value = self._value, None
        if self._process is not None and self._process.is_busy:
            value = torch.tensor(self._process.finish())
        if value is not None:
            actor.parameters.copy_(self._improvement.actor.parameters)
            actor.refresh()
        return value

    def restore(self, actor: Perceptron) -> None:
        """Go on with an actor whose parameters were changed from outside."""
        self._improvement.actor.parameters.copy_(actor.parameters)
        self._improvement.actor.refresh()

    def close(self) -> None:
        """End the process beside, if there is one."""
        if self._process is not None:
            self._process.close()


class _Beside:
    """A process that shares the networks and the moments of an improvement, and computes its steps."""

    def __init__(self, improvement: Improvement, shape: torch.Size) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._inputs = torch.zeros(shape).share_memory_()
        actions = improvement.critics[0].inputs - shape[-1]
        self._example_actions = torch.zeros(shape[0], actions).share_memory_()
        moments = improvement.optimizer.state[improvement.actor.parameters]
        of_improvement = (improvement.actor, improvement.critics, improvement.config, moments)
        arguments = (theirs, *of_improvement, self._inputs, self._example_actions)
        self._process = context.Process(target=_improve, args=arguments, name="improver", daemon=True)
        self._process.start()
        theirs.close()
        self._ready = self._failed = self.is_busy = False

    def is_ready(self) -> bool:
        """Whether it has come up. One that cannot is done without."""
        if not self._ready and not self._failed and self._connection.poll():
            try:
                self._ready = self._connection.recv() == _READY
            except (EOFError, OSError):
                self._failed = True
                warnings.warn("no process beside this one could be started: training goes on, slower", stacklevel=2)
        return self._ready

    def start(self, inputs: Tensor, example_actions: Tensor | None, imitation: float) -> None:
        self._inputs.copy_(inputs)
        if example_actions is not None:
            self._example_actions.copy_(example_actions)
        self._talk(lambda: self._connection.send((example_actions is not None, imitation)))
        self.is_busy = True

    def finish(self) -> float:
        self.is_busy = False
        answer = self._talk(self._connection.recv)
        if isinstance(answer, str):
            raise ImprovementError(f"the process that improves the actor has failed:\n{answer}")
        return answer

    def _talk(self, how: Callable[[], Any]) -> Any:
        try:
            return how()
        except (EOFError, OSError):
            self._process.join(_PATIENCE_S)
            raise ImprovementError(
                f"the process that improves the actor has ended (exit code {self._process.exitcode}; -9: killed, "
                "perhaps for want of memory); go on from the last checkpoint with --resume"
            ) from None

    def close(self) -> None:
        self._connection.close()
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()


def _improve(
    connection: Connection,
    actor: Perceptron,
    critics: list[Perceptron],
    config: AgentConfig,
    moments: Mapping[str, Tensor],
    inputs: Tensor,
    example_actions: Tensor,
) -> None:
    """What the process does: a step for each message, until the connection ends."""
    # An interrupt at the terminal reaches both; the other process decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    keep_freed_memory()
    improvement = Improvement(actor, critics, config, moments=moments)
    try:
        connection.send(_READY)
        while True:
            imitates, imitation = connection.recv()
            connection.send(float(improvement.step(inputs, example_actions if imitates else None, imitation)))
    except (EOFError, OSError):
        return
    except Exception:
        connection.send(traceback.format_exc())
