"""A perceptron with its gradient written out.

At the sizes that goal policies have, autograd's bookkeeping costs as much as the arithmetic. Written out, a pass is
little more than its matrix products, only the gradients that are wanted are computed, and all parameters of a network
are one vector: one call updates, averages, copies or sends them. A test compares the gradient with autograd's.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_EPSILON = 1e-5
"""Added to the variance in layer normalisation, as torch.nn.LayerNorm does."""
# Named with their overloads: looking one up takes longer than some of them do.
_layer_norm_backward = torch.ops.aten.native_layer_norm_backward.default
_relu_backward = torch.ops.aten.threshold_backward.default


@dataclass(frozen=True)
class Layer:
    """One hidden layer, or the last: views of a network's parameters, or of their gradient."""

    weight: Tensor
    """(outputs, inputs)."""
    bias: Tensor
    """(outputs,)."""
    scale: Tensor | None = None
    """Of the layer normalisation, (outputs,); None where there is none."""
    shift: Tensor | None = None
    """Of the layer normalisation, (outputs,)."""


@dataclass(frozen=True)
class Tape:
    """What a backward pass needs of its forward pass, by layer."""

    inputs: list[Tensor]
    """As they went into the product, (n, inputs)."""
    hidden: list[Tensor]
    """After the ReLU, float32 (n, outputs)."""
    normalized: list[tuple[Tensor, Tensor, Tensor]]
    """What layer normalisation was given, its mean, and the inverse of its standard deviation."""


class Perceptron:
    """Linear layers, each but the last followed by layer normalisation and ReLU.

    Products between hidden layers are made in `precision`; all else, and the parameters themselves, are float32.
    """

    def __init__(
        self,
        inputs: int,
        hidden_sizes: Sequence[int],
        outputs: int,
        layer_norm: bool = True,
        device: torch.device | str = "cpu",
        precision: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> None:
        """
        Args:
            inputs: size of the input.
            hidden_sizes: of the hidden layers.
            outputs: size of the output.
            layer_norm: whether hidden layers are normalised.
            device: where the parameters live.
            precision: of the products between hidden layers.
            generator: draws the first parameters, on that device; without one they are 0.
        """
        self._sizes = (inputs, *hidden_sizes, outputs)
        self._layer_norm = layer_norm
        self._precision = precision
        count = sum(math.prod(shape) for layer in self._shapes() for shape in layer)
        self.parameters = torch.zeros(count, device=device)
        """All parameters, layer by layer (count,)."""
        self.gradient = torch.zeros(count, device=device)
        """The gradient that the last backward pass left (count,)."""
        self.layers = self._views(self.parameters)
        """The same parameters, by layer and name."""
        self._gradients = self._views(self.gradient)
        if generator is not None:
            self._initialize(generator)
        self._low = self.parameters.to(precision)
        self._low_layers = self._views(self._low)

    @property
    def inputs(self) -> int:
        """Size of the input."""
        return self._sizes[0]

    @property
    def outputs(self) -> int:
        """Size of the output."""
        return self._sizes[-1]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs (n, outputs) for inputs (n, inputs), all float32."""
        return self.forward(inputs)[0]

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tape]:
        """Outputs (n, outputs), and the tape that `backward` needs."""
        tape = Tape([], [], [])
        values = inputs
        for index, layer in enumerate(self.layers):
            values = self._for_product(index, values)
            tape.inputs.append(values)
            product = self._product_layer(index)
            values = torch.addmm(product.bias, values, product.weight.t()).float()
            if index < len(self.layers) - 1:
                values = self._activate(layer, values, tape)
        return values, tape

    def backward(self, tape: Tape, gradient: Tensor) -> None:
        """Leave a loss's gradient with respect to the parameters in `self.gradient`.

        Args:
            tape: of the forward pass.
            gradient: of the loss with respect to the outputs (n, outputs).
        """
        self._backward(tape, gradient, of_parameters=True, of_inputs=False)

    def input_gradient(self, tape: Tape, gradient: Tensor) -> Tensor:
        """A loss's gradient with respect to the inputs (n, inputs); that of the parameters is left alone.

        Args:
            tape: of the forward pass.
            gradient: of the loss with respect to the outputs (n, outputs).
        """
        return self._backward(tape, gradient, of_parameters=False, of_inputs=True)

    def _backward(self, tape: Tape, gradient: Tensor, of_parameters: bool, of_inputs: bool) -> Tensor:
        for index in reversed(range(len(self.layers))):
            if index < len(self.layers) - 1:
                gradient = self._deactivate(index, gradient, tape, of_parameters)
            low = self._for_product(index, gradient)
            if of_parameters:
                into = self._gradients[index]
                torch.sum(gradient, 0, out=into.bias)
                if low is gradient:
                    torch.mm(gradient.t(), tape.inputs[index], out=into.weight)
                else:
                    into.weight.copy_(low.t() @ tape.inputs[index])
            if index or of_inputs:
                gradient = (low @ self._product_layer(index).weight).float()
        return gradient

    def in_float32(self) -> "Perceptron":
        """A copy that makes all products in float32."""
        hidden, device = self._sizes[1:-1], self.parameters.device
        copied = Perceptron(self._sizes[0], hidden, self._sizes[-1], self._layer_norm, device)
        copied.parameters.copy_(self.parameters)
        copied.refresh()
        return copied

    def refresh(self) -> None:
        """Take over parameters that were changed from outside; to be called after every change."""
        if self._precision != torch.float32:
            self._low.copy_(self.parameters)

    def _activate(self, layer: Layer, values: Tensor, tape: Tape) -> Tensor:
        if layer.scale is not None:
            saved = torch.native_layer_norm(values, values.shape[1:], layer.scale, layer.shift, _EPSILON)
            tape.normalized.append((values, *saved[1:]))
            values = saved[0]
        values = values.relu_()
        tape.hidden.append(values)
        return values

    def _deactivate(self, index: int, gradient: Tensor, tape: Tape, of_parameters: bool) -> Tensor:
        layer, into = self.layers[index], self._gradients[index]
        gradient = _relu_backward(gradient, tape.hidden[index], 0)
        if layer.scale is None or into.scale is None or into.shift is None:
            return gradient
        values, mean, inverse_std = tape.normalized[index]
        wanted = [True, of_parameters, of_parameters]
        gradient, scale, shift = _layer_norm_backward(
            gradient, values, values.shape[1:], mean, inverse_std, layer.scale, layer.shift, wanted
        )
        if of_parameters:
            into.scale.copy_(scale)
            into.shift.copy_(shift)
        return gradient

    def _product_layer(self, index: int) -> Layer:
        return (self._low_layers if self._is_low(index) else self.layers)[index]

    def _for_product(self, index: int, values: Tensor) -> Tensor:
        return values.to(self._precision) if self._is_low(index) else values

    def _is_low(self, index: int) -> bool:
        """Whether a layer's product is made in lower precision: not where it meets the world, on either side."""
        return self._precision != torch.float32 and 0 < index < len(self.layers) - 1

    def _shapes(self) -> list[tuple[tuple[int, ...], ...]]:
        """Shapes of each layer's parameters."""
        last = len(self._sizes) - 2
        return [
            ((outputs, inputs), (outputs,), *([(outputs,)] * 2 if self._layer_norm and index < last else []))
            for index, (inputs, outputs) in enumerate(itertools.pairwise(self._sizes))
        ]

    def _views(self, vector: Tensor) -> list[Layer]:
        layers, start = [], 0
        for shapes in self._shapes():
            parts = []
            for shape in shapes:
                parts.append(vector[start : start + math.prod(shape)].view(shape))
                start += math.prod(shape)
            layers.append(Layer(*parts))
        return layers

    def _initialize(self, generator: torch.Generator) -> None:
        """As torch.nn.Linear and torch.nn.LayerNorm do."""
        for layer in self.layers:
            bound = 1.0 / math.sqrt(layer.weight.shape[1])
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
            if layer.scale is not None:
                layer.scale.fill_(1.0)
