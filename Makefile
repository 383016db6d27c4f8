# her_robot: `make demo` and `make test` set up everything by themselves, in .venv.
PYTHON ?= python3
RUN := .venv/bin/python -m
export MUJOCO_GL ?= egl

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench clean

help:  ## what there is
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

.venv/ready: requirements.txt requirements-torch.txt requirements-ros.txt requirements-dev.txt setup.py setup.cfg scripts/setup.sh
	PYTHON="$(PYTHON)" scripts/setup.sh
	@touch $@

setup: .venv/ready  ## the virtual environment with pinned dependencies

demo: .venv/ready  ## a trained policy pushes blocks: simulated robot, cameras and ROS 2 nodes in the loop
	$(RUN) her_robot.cli demo

test: .venv/ready  ## all tests; no GPU, no screen, no ROS needed
	$(RUN) pytest

check: .venv/ready  ## format, lint and types
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) pyright

format: .venv/ready  ## format, and fix what the linter can
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

bench: .venv/ready  ## environment steps per second, beside Gymnasium-Robotics
	$(RUN) her_robot.cli bench env

clean:  ## remove the virtual environment and what was built
	rm -rf .venv build dist install log *.egg-info
