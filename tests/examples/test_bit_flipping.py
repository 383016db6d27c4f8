"""Hindsight is the difference between all and nothing where rewards are never met by chance."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

_PATH = Path(__file__).parents[2] / "examples" / "bit_flipping.py"


@pytest.fixture(scope="module")
def example():
    return SimpleNamespace(**runpy.run_path(str(_PATH)))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_an_action_flips_its_bit(example):
    states, goal, actions = example.BitFlipper(6, "future", seed=0).play(5, random_action=1.0)
    assert states.shape == (5, 7, 6)
    assert goal.shape == (5, 6)
    flipped = states[:, 1:] != states[:, :-1]
    assert torch.equal(flipped, torch.nn.functional.one_hot(actions, 6).bool())


def test_with_hindsight_it_is_solved(example):
    assert example.train(10, "future", cycles=100, until=0.95, every=20)[-1, 1] >= 0.95


def test_without_hindsight_nothing_is_learned(example):
    assert example.train(10, "none", cycles=60, every=30)[:, 1].max() <= 0.1


def test_fewer_than_one_bit_is_refused(example):
    with pytest.raises(SystemExit, match="--bits is 0"):
        example.BitFlipper(0, "future", seed=0)
