#!/usr/bin/env bash
# Makes .venv with everything that demo, test and check need. Called by the Makefile; safe to call again.
#
#   PYTHON=python3.12 scripts/setup.sh      another interpreter, 3.10 to 3.13
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
venv=.venv
log=build/setup.log
mkdir -p build
: >"$log"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

# step WHAT COMMAND...: run a command quietly; the end of its output is shown if it fails.
step() {
  printf 'setup: %s ... ' "$1"
  shift
  local begun=$SECONDS
  "$@" >>"$log" 2>&1 || { echo "failed"; tail -n 12 "$log" >&2; fail "'$*' failed; all it said is in $log"; }
  echo "$((SECONDS - begun)) s"
}

# system_packages WHY NAME...: Debian packages, installed by root and asked for otherwise.
system_packages() {
  local why=$1
  shift
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "$why. On Debian and Ubuntu: sudo apt-get install $*"
  fi
  step "apt-get install $*" apt_install "$@"
}

apt_install() {
  apt-get update || echo "going on with the lists that there are"
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

make_venv() {
  "$python" -c 'import ensurepip' 2>/dev/null ||
    system_packages "$python cannot make virtual environments" "python$version-venv"
  step "$venv with Python $version" "$python" -m venv --clear "$venv"
  echo "$made_for" >"$venv/made-for"
}

# PyTorch's ordinary build for Linux brings gigabytes of CUDA. pip may have been told where CPU builds are; uv knows.
install_torch() {
  pip install "torch==$torch+cpu" -c constraints.txt && return
  pip install uv==0.13.9 &&
    "$venv/bin/uv" pip install --python "$venv/bin/python" --torch-backend=cpu "torch==$torch" -c constraints.txt
}

render() { MUJOCO_GL=egl "$venv/bin/python" -c 'import mujoco; mujoco.GLContext(16, 16).make_current()'; }

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || version=none
case $version in
  3.10 | 3.11 | 3.12 | 3.13) ;;
  *) fail "Python 3.10 to 3.13 is needed; $python is $version. Name another one: make PYTHON=python3.12 ..." ;;
esac

# An environment holds either ROS's rclpy or the one from PyPI: the two in one process crash.
made_for="Python $version, rclpy of ${ROS_DISTRO:-PyPI}"
if [ "$(cat "$venv/made-for" 2>/dev/null)" != "$made_for" ] || ! pip --version >/dev/null 2>&1; then
  say "once, a few minutes: about 0.6 GB to download, 2 GB in $venv"
  make_venv
fi

step "simulation, vision, kinematics" pip install -r requirements.txt -c constraints.txt
torch=$(sed -n 's/^torch==//p' requirements-torch.txt)
if ! pip show torch 2>/dev/null | grep -q "^Version: $torch"; then
  step "PyTorch $torch, CPU build" install_torch
fi
if [ -z "${ROS_DISTRO:-}" ]; then
  step "rclpy" pip install -r requirements-ros.txt -c constraints.txt
elif "$venv/bin/python" -c 'import rclpy' 2>>"$log"; then
  say "rclpy is that of ROS 2 $ROS_DISTRO"
else
  fail "ROS 2 $ROS_DISTRO is sourced, but Python $version cannot import its rclpy (see $log)." \
    "Use the Python that ROS was built for: make PYTHON=/usr/bin/python3 ..."
fi
step "test and check tools" pip install -r requirements-dev.txt -c constraints.txt
step "her_robot" pip install --no-deps --no-build-isolation -e .

if ! render >/dev/null 2>&1; then
  system_packages "Off-screen rendering needs EGL" libegl1 libgl1
  step "off-screen rendering" render
fi
say "done"
