"""Local stores: real hosts on this machine, each with its own root, address, sshd and service supervision."""

from testbench.stores.detect import Detection, Lack, ModeCheck, detect_mode
from testbench.stores.errors import (
    ModeUnavailableError,
    StartError,
    StateError,
    StoresError,
    StoresUsageError,
)
from testbench.stores.rootless import reexec_inside_user_namespace
from testbench.stores.rules import HostSite, Mode, StorePlan, StoreSite, plain_plans
from testbench.stores.service import Stores, down
from testbench.stores.state import default_state_dir

__all__ = [
    "Detection",
    "HostSite",
    "Lack",
    "Mode",
    "ModeCheck",
    "ModeUnavailableError",
    "StartError",
    "StateError",
    "StorePlan",
    "StoreSite",
    "Stores",
    "StoresError",
    "StoresUsageError",
    "default_state_dir",
    "detect_mode",
    "down",
    "plain_plans",
    "reexec_inside_user_namespace",
]
