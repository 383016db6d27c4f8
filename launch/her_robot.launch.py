"""Policy node, the node that sees where there is something to be seen and, unless `robot:=real`, a simulated robot.

Each task has a thin file over this one.
"""

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from her_robot.contract import HandContract, contract_of
from her_robot.robot.setup import default_setup
from launch import LaunchDescription

_ARGUMENTS = {
    "task": (
        "fetch_push",
        "task that the policy was trained for",
        [
            "fetch_reach",
            "fetch_push",
            "fetch_slide",
            "fetch_pick_and_place",
            "hand_reach",
            "hand_block",
            "hand_block_rotate_z",
        ],
    ),
    "robot": (
        "sim",
        "sim: bring up the simulated robot; real: only the nodes, for a robot that runs elsewhere",
        ["sim", "real"],
    ),
    "policy": ("", "folder of a policy bundle; default: the one that ships for the task", None),
    "calibration": (
        "",
        "folder in calibration/, or a path; default: that of the simulated robot; a real camera needs one of its own",
        None,
    ),
    "profile": ("", "robot profile in config/robots/, or a path to a YAML file; default: by the task", None),
    "simulated_robot": (
        "",
        "simulated robot in config/simulated_robots/, of a hand in config/simulated_hands/, or a path to a YAML file; "
        "default: by the task",
        None,
    ),
    "autostart": (
        "auto",
        "activate the policy by itself: true, false, or auto: true for robot:=sim, false for robot:=real",
        ["auto", "true", "false"],
    ),
    "use_sim_time": (
        "auto",
        "take time from /clock: true, false, or auto: true for robot:=sim",
        ["auto", "true", "false"],
    ),
    "record": ("false", "record all topics but raw images with `ros2 bag`, as MCAP", ["true", "false"]),
    "log_level": ("info", "log level of the nodes", ["debug", "info", "warn", "error"]),
}
"""Default, description, choices."""


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in _ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context) -> list:
    value = {name: LaunchConfiguration(name).perform(context) for name in _ARGUMENTS}
    task, simulated = value["task"], value["robot"] == "sim"
    contract = contract_of(task)
    default = default_setup(contract)
    calibration = value["calibration"] or default.calibration

    def switch(name: str) -> bool:
        return simulated if value[name] == "auto" else value[name] == "true"

    use_sim_time = {"use_sim_time": switch("use_sim_time")}
    common = {
        "package": "her_robot",
        "output": "screen",
        "arguments": ["--ros-args", "--log-level", value["log_level"]],
    }
    nodes = []
    if simulated:
        parameters = {
            "task": task,
            "simulated_robot": value["simulated_robot"] or default.simulated_robot,
            "publish_clock": switch("use_sim_time"),
        }
        nodes.append(
            Node(
                executable="sim_robot_node",
                name="sim_robot_node",
                parameters=[parameters],
                on_exit=Shutdown(),
                **common,
            )
        )
    # A hand that is empty has nothing to be seen.
    if contract.has_object or not isinstance(contract, HandContract):
        hand = isinstance(contract, HandContract)
        seeing_node = "object_pose_node" if hand else "camera_goal_node"
        parameters = {"calibration": calibration} if hand else {"task": task, "calibration": calibration}
        nodes.append(
            Node(
                executable=seeing_node,
                name=seeing_node,
                parameters=[{**parameters, **use_sim_time}],
                on_exit=Shutdown(),
                **common,
            )
        )
    policy = {
        "task": task,
        "policy": ParameterValue(value["policy"], value_type=str),
        "calibration": calibration,
        "robot": value["profile"] or default.robot,
        "autostart": switch("autostart"),
    }
    nodes.append(
        LifecycleNode(
            executable="policy_node",
            name="policy_node",
            namespace="",
            parameters=[{**policy, **use_sim_time}],
            on_exit=Shutdown(),
            **common,
        )
    )
    recorder = ["ros2", "bag", "record", "--storage", "mcap", "--all", "--exclude-regex", ".*/image_raw$"]
    nodes.append(ExecuteProcess(cmd=recorder, output="screen", condition=IfCondition(LaunchConfiguration("record"))))
    return nodes
