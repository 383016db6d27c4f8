#!/usr/bin/env bash
# Makes .venv with everything that demo, test and check need. Called by the Makefile; safe to call again.
#
#   PYTHON=python3.12 scripts/setup.sh      another interpreter, 3.10 to 3.13
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
venv=.venv
log=$venv/setup.log
say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@" >>"$log" 2>&1; }
install() {
  say "installing $1"
  shift
  pip install "$@" || { tail -n 15 "$log" >&2; fail "pip install $* failed; the whole log is in $log"; }
}

"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null ||
  fail "needs Python 3.10 to 3.13; '$python' is $("$python" --version 2>&1). Name another: make PYTHON=python3.12 demo"

if [ ! -x "$venv/bin/python" ]; then
  say "making $venv with $("$python" --version)"
  "$python" -m venv "$venv" ||
    fail "could not make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv"
fi
: >"$log"

install "simulation, vision, kinematics" -r requirements.txt

# PyTorch's ordinary Linux build brings gigabytes of CUDA. pip may know a CPU build; if not, uv knows where PyTorch keeps them.
torch=$(sed -n 's/^torch==//p' requirements-torch.txt)
if ! "$venv/bin/python" -c "import importlib.metadata as m; assert m.version('torch').split('+')[0] == '$torch'" 2>/dev/null; then
  say "installing PyTorch $torch, CPU build"
  if ! pip install "torch==$torch+cpu"; then
    pip install uv || fail "could not install uv, which fetches PyTorch's CPU build; see $log"
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --torch-backend=cpu "torch==$torch" >>"$log" 2>&1 ||
      { tail -n 5 "$log" >&2; fail "no CPU build of PyTorch $torch could be fetched; see $log"; }
  fi
fi

if [ -n "${ROS_DISTRO:-}" ] && "$venv/bin/python" -c 'import rclpy' 2>/dev/null; then
  say "using rclpy of ROS 2 $ROS_DISTRO"
elif [ -n "${ROS_DISTRO:-}" ]; then
  fail "ROS 2 $ROS_DISTRO is sourced, but $("$venv/bin/python" --version) cannot import its rclpy; use ROS's own Python: make PYTHON=/usr/bin/python3"
else
  install "rclpy" -r requirements-ros.txt
fi
install "test and check tools" -r requirements-dev.txt
install "her_robot" --no-deps --no-build-isolation -e .

render='import mujoco; mujoco.GLContext(16, 16).make_current()'
if ! MUJOCO_GL=egl "$venv/bin/python" -c "$render" >/dev/null 2>&1; then
  packages="libegl1 libgl1 libgles2"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $packages for off-screen rendering"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages libgl1-mesa-dri; } >>"$log" 2>&1 ||
      fail "apt-get install $packages failed; see $log"
  fi
  MUJOCO_GL=egl "$venv/bin/python" -c "$render" >/dev/null 2>&1 ||
    fail "off-screen rendering needs EGL; on Debian or Ubuntu: sudo apt-get install $packages libgl1-mesa-dri"
fi
say "done"
