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

    def shared(self) -> dict[str, Any]:
        """Arguments for another one that works on the very same tensors."""
        moments = dict(self.optimizer.state[self.actor.parameters])
        return {"actor": self.actor, "critics": self.critics, "config": self.config, "moments": moments}

    def step(self, inputs: Tensor, draws: Tensor | None, example_actions: Tensor | None, imitation: float) -> Tensor:
        """One step by the critics' present parameters; returns the mean value of the actor's actions before it.

        Args:
            inputs: (n, inputs + privileged), of which the actor sees what all see.
            draws: standard normal (n, actions), where the actor is stochastic; or None.
            example_actions: examples to imitate, (n, actions), not numbers where there is none; or None.
            imitation: weight of the mean squared difference from them.
        """
        for critic in self.critics:
            critic.refresh()
        outputs, tape = self.actor.forward(inputs[:, : self.actor.inputs])
        actions, of_outputs = self._act(outputs, draws)
        value, gradient_of_value = value_gradient(self.critics, inputs, actions)
        gradient = (2.0 * self.config.action_l2) * actions
        if example_actions is not None:
            gradient += (2.0 * imitation) * (actions - example_actions).nan_to_num_()
        gradient = gradient / actions.numel() - gradient_of_value / len(actions)
        self.actor.backward(tape, of_outputs(gradient))
        self._average(self.actor.gradient)
        self.optimizer.step()
        self.actor.refresh()
        return value.mean()

    def _act(self, outputs: Tensor, draws: Tensor | None) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Actions (n, actions), and what makes of a loss's gradient by them that by the actor's outputs."""
        actions = torch.tanh(outputs)
        return actions, lambda gradient: gradient * (1.0 - actions.square())


class Improver:
    """Computes one improvement at a time, here or beside."""

    def __init__(self, improvement: Improvement, beside: bool) -> None:
        """
        Args:
            improvement: with networks of its own, which nobody else changes.
            beside: compute in another process, on the CPU, as soon as that is up.
        """
        self.improvement, self._beside = improvement, beside
        self._process: _Beside | None = None
        self._value: Tensor | None = None

    def start(
        self,
        critics: list[Perceptron],
        inputs: Tensor,
        draws: Tensor | None,
        example_actions: Tensor | None,
        imitation: float,
    ) -> None:
        """Begin an improvement; `critics` may change from now on. The arguments are those of `Improvement.step`."""
        for own, critic in zip(self.improvement.critics, critics, strict=True):
            own.parameters.copy_(critic.parameters)
        if self._beside and self._process is None:
            self._process = _Beside(self.improvement, inputs.shape)
        if self._process is not None and self._process.is_ready():
            self._process.start(inputs, draws, example_actions, imitation)
            return
        self._value = self.improvement.step(inputs, draws, example_actions, imitation)

    def finish(self, actor: Perceptron) -> Tensor | None:
        """Have `actor` take over the improvement that was begun; returns the mean value before it, None if none was.

        Raises:
            ImprovementError: the process beside failed or was killed.
        """
        value, self._value = self._value, None
        if self._process is not None and self._process.is_busy:
            value = torch.tensor(self._process.finish())
        if value is not None:
            actor.parameters.copy_(self.improvement.actor.parameters)
            actor.refresh()
        return value

    def restore(self, actor: Perceptron) -> None:
        """Go on with an actor whose parameters were changed from outside."""
        self.improvement.actor.parameters.copy_(actor.parameters)
        self.improvement.actor.refresh()

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
        self._draws, self._example_actions = torch.zeros(2, shape[0], actions).share_memory_()
        given = (self._inputs, self._draws, self._example_actions)
        arguments = (theirs, type(improvement), improvement.shared(), *given)
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

    def start(self, inputs: Tensor, draws: Tensor | None, example_actions: Tensor | None, imitation: float) -> None:
        self._inputs.copy_(inputs)
        if draws is not None:
            self._draws.copy_(draws)
        if example_actions is not None:
            self._example_actions.copy_(example_actions)
        self._talk(lambda: self._connection.send((draws is not None, example_actions is not None, imitation)))
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
    kind: type[Improvement],
    shared: Mapping[str, Any],
    inputs: Tensor,
    draws: Tensor,
    example_actions: Tensor,
) -> None:
    """What the process does: a step for each message, until the connection ends."""
    # An interrupt at the terminal reaches both; the other process decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    keep_freed_memory()
    improvement = kind(**shared)
    try:
        connection.send(_READY)
        while True:
            draws_are_given, imitates, imitation = connection.recv()
            given = draws if draws_are_given else None, example_actions if imitates else None
            connection.send(float(improvement.step(inputs, *given, imitation)))
    except (EOFError, OSError):
        return
    except Exception:
        connection.send(traceback.format_exc())
