# her_robot: `make demo` and `make test` set up everything by themselves, in .venv.
PYTHON ?= python3
RUN := .venv/bin/python -m
# Off-screen rendering without a display. No plugins in pytest: those that ROS 2 brings are made for other versions of it.
export MUJOCO_GL ?= egl
export PYTEST_DISABLE_PLUGIN_AUTOLOAD := 1
# Made anew when ROS 2 is sourced or no longer is: its rclpy and the one from PyPI do not mix.
READY := .venv/ready-$(or $(ROS_DISTRO),pypi)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench clean

help:  ## what there is
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(READY): $(wildcard requirements*.txt) constraints.txt setup.py setup.cfg scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh
	@touch $@

setup: $(READY)  ## the virtual environment with pinned dependencies

demo: $(READY)  ## a trained policy pushes blocks: simulated robot, cameras and ROS 2 nodes in the loop
	$(RUN) her_robot.cli demo

test: $(READY)  ## all tests, on all cores; no GPU, no screen, no ROS needed
	$(RUN) pytest -p xdist -n auto --maxprocesses 16 --dist loadfile

check: $(READY)  ## format, lint and types
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) pyright

format: $(READY)  ## format, and fix what the linter can
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

bench: $(READY)  ## speed of environments, updates and the deployed path, beside peers and limits
	$(RUN) her_robot.cli bench env
	$(RUN) her_robot.cli bench update
	$(RUN) her_robot.cli bench latency

clean:  ## remove the virtual environment and what was built
	rm -rf .venv build dist install log *.egg-info
