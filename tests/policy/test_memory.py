"""Memory is told before a run starts."""

import pytest
import torch

from her_robot.errors import ConfigurationError
from her_robot.policy.config import load_config
from her_robot.policy.memory import check_memory, replay_bytes


def test_the_replay_buffer_is_its_floats():
    config = load_config("fetch_push", "published", ["buffer_steps=100000"])
    assert replay_bytes(config) == 100_000 * 4 * (25 + 3 + 4)
    short = load_config("fetch_push", "published", ["total_steps=50000"])
    assert replay_bytes(short) == 50_000 * 4 * (25 + 3 + 4)


def test_a_run_that_fits_is_let_through():
    check_memory(load_config("fetch_push", "published", ["total_steps=50000"]), torch.device("cpu"))


@pytest.mark.parametrize("override", ["buffer_steps=100000000000", "batch_size=1000000000"])
def test_a_run_that_cannot_fit_is_refused_with_what_it_needs(override):
    config = load_config("fetch_push", "published", [override, "total_steps=100000000000"])
    with pytest.raises(ConfigurationError, match=r"may need [\d.]+ GB of memory.*GB is available. Lower buffer_steps"):
        check_memory(config, torch.device("cpu"))
