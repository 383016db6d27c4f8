"""An ament_python package that is an ordinary Python package too."""

import os
from pathlib import Path

from setuptools import find_packages, setup

NAME = "her_robot"
ROOT = Path(__file__).parent
NODES = ["sim_robot_node", "camera_goal_node", "object_pose_node", "policy_node"]


def data_files() -> list[tuple[str, list[str]]]:
    """What is not code, to share/her_robot, with its folders."""
    found = [
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ]
    for top in ("config", "calibration", "launch", "policies"):
        for folder, _, files in os.walk(ROOT / top):
            relative = Path(folder).relative_to(ROOT)
            names = [str(relative / name) for name in sorted(files) if not name.endswith(".pyc")]
            if names:
                found.append((f"share/{NAME}/{relative}", names))
    return found


setup(
    name=NAME,
    version="0.2.0",
    description="Goal-reaching policies for robot arms and hands: trained with DDPG + HER, deployed as ROS 2 nodes",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    maintainer="The her_robot developers",
    maintainer_email="her_robot@users.noreply.github.com",
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    data_files=data_files(),
    # Running a policy on a robot needs no torch; training does, and a user chooses the build: [train].
    install_requires=[
        "gymnasium-robotics==1.4.*",
        "matplotlib>=3.8",
        "mink>=1.0",
        "mujoco>=3.10,<3.12",
        "numpy>=1.26",
        "opencv-python-headless>=4.12,<5",
        "daqp>=0.5",
        "pyyaml>=6",
        "rich>=13",
        "rosbags>=0.10",
        "safetensors>=0.4",
        "scipy>=1.13",
    ],
    extras_require={
        "train": ["torch>=2.4", "tensorboard>=2.16"],
        # Its versions follow MuJoCo's.
        "warp": ["mujoco==3.11.*", "mujoco-warp==3.11.*", "torch>=2.4", "tensorboard>=2.16"],
        "bench": ["envpool==1.2.5", "stable-baselines3==2.9.2"],
    },
    entry_points={
        "console_scripts": [
            "her-robot = her_robot.cli:main",
            *(f"{node} = her_robot.ros_nodes.{node}:main" for node in NODES),
        ]
    },
    zip_safe=False,
)
