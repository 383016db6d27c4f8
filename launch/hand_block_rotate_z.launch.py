"""HandManipulateBlockRotateZ: a simulated Shadow Hand unless `robot:=real`.

Arguments: ros2 launch her_robot hand_block_rotate_z.launch.py -s
"""

from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    common = PathJoinSubstitution([FindPackageShare("her_robot"), "launch", "her_robot.launch.py"])
    source = PythonLaunchDescriptionSource(common)
    arguments = {"task": "hand_block_rotate_z"}
    return LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments.items())])
