"""The written-out gradient against autograd's."""

import pytest
import torch
from torch import nn

from her_robot.policy.perceptron import Perceptron


def _perceptron(layer_norm=True, precision=torch.float32):
    generator = torch.Generator().manual_seed(0)
    network = Perceptron(5, [16, 24], 3, layer_norm, precision=precision, generator=generator)
    network.parameters += 0.1 * torch.randn(network.parameters.shape, generator=generator)
    network.refresh()
    return network


def _module(network):
    """The same network of torch's own modules."""
    modules = []
    for layer in network.layers:
        linear = nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
        linear.weight, linear.bias = nn.Parameter(layer.weight.clone()), nn.Parameter(layer.bias.clone())
        modules.append(linear)
        if layer.scale is not None:
            norm = nn.LayerNorm(len(layer.bias))
            norm.weight, norm.bias = nn.Parameter(layer.scale.clone()), nn.Parameter(layer.shift.clone())
            modules.append(norm)
        modules.append(nn.ReLU())
    return nn.Sequential(*modules[:-1])


@pytest.mark.parametrize("layer_norm", [True, False])
def test_values_and_gradients_are_autograds(layer_norm):
    network = _perceptron(layer_norm)
    module = _module(network)
    inputs = torch.randn(32, 5, requires_grad=True)
    wanted = torch.randn(32, 3)
    expected = module(inputs)
    outputs, tape = network.forward(inputs.detach())
    torch.testing.assert_close(outputs, expected)
    (expected * wanted).sum().backward()
    network.backward(tape, wanted)
    torch.testing.assert_close(network.input_gradient(tape, wanted), inputs.grad)
    torch.testing.assert_close(network.gradient, torch.cat([p.grad.flatten() for p in module.parameters()]))


def test_the_gradient_of_inputs_leaves_that_of_parameters_alone():
    network = _perceptron()
    outputs, tape = network.forward(torch.randn(8, 5))
    network.backward(tape, torch.ones_like(outputs))
    before = network.gradient.clone()
    assert network.input_gradient(tape, -outputs).shape == (8, 5)
    assert torch.equal(network.gradient, before)


def test_bfloat16_is_near_and_in_float32_again_the_same():
    exact, network = _perceptron(), _perceptron(precision=torch.bfloat16)
    inputs = torch.randn(64, 5)
    torch.testing.assert_close(network(inputs), exact(inputs), atol=0.05, rtol=0.05)
    assert not torch.equal(network(inputs), exact(inputs))
    assert torch.equal(network.in_float32()(inputs), exact(inputs))


def test_layers_are_views_of_the_parameters():
    network = _perceptron()
    network.parameters.zero_()
    assert all(not layer.weight.any() and not layer.bias.any() for layer in network.layers)
    assert network(torch.ones(2, 5)).abs().max() == 0


def test_the_first_parameters_are_drawn_as_torch_draws_them():
    network = Perceptron(100, [50], 1, generator=torch.Generator().manual_seed(0))
    weight = network.layers[0].weight
    assert weight.abs().max() <= 0.1
    assert weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    scale = network.layers[0].scale
    assert scale is not None
    assert torch.equal(scale, torch.ones(50))
