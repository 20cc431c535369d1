"""Which GPU a job runs on: the one its cluster gave it, or a free one of a workstation's. Torch is imported late."""

import fcntl
import logging
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cellcascade.core.errors import InputError

logger = logging.getLogger(__name__)


def require_gpu() -> None:
    """Check that a job that asked its cluster for a GPU sees one.

    Raises:
        InputError: PyTorch sees no GPU.
    """
    import torch

    if torch.cuda.is_available():
        return
    variables = ("SLURM_JOB_ID", "SLURM_JOB_PARTITION", "CUDA_VISIBLE_DEVICES")
    found = [f"{name}={os.environ.get(name, '(unset)')}" for name in variables]
    raise InputError(
        "This job asked for a GPU and sees none",
        where=f"node {platform.node()}",
        found=f"PyTorch {torch.__version__} (CUDA {torch.version.cuda}), {', '.join(found)}",
        expected="a GPU of the cluster, and a PyTorch built for its driver",
        fix="give the rule a partition with GPUs in slurm/config.yaml; see nvidia-smi on the node; install a PyTorch "
        "other than '+cpu'; or set device: cpu in the configuration",
    )


def take_free_gpu() -> None:
    """On a machine with several GPUs, choose one for this process; to be called before CUDA starts."""
    devices = visible_gpus()
    if len(devices) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen = claim(devices, locks())
        logger.info("takes GPU %s of %d", chosen, len(devices))


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use: those in CUDA_VISIBLE_DEVICES, or else all that nvidia-smi lists.

    By its identifier, because CUDA and nvidia-smi number the devices differently.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
        try:
            listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return []
    return listed.replace(",", " ").split()


def locks() -> Path:
    """Folder of the machine that holds the claims of this user's jobs, of all projects."""
    return Path(tempfile.gettempdir()) / f"cellcascade-gpus-{os.getuid()}"


def claim(devices: Sequence[str], folder: Path) -> str:
    """Choose the device that the fewest jobs have, and keep it until this process ends, however it ends.

    A claim is a lock on a file, which the system takes back with the process. The n-th job of a device locks its n-th
    file, so that jobs spread evenly where there are more of them than devices.

    Args:
        devices: Names of the devices.
        folder: Folder of the lock files, on a local disk.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    turn = 0
    while True:
        for device in devices:
            file = os.open(folder / f"{device.replace('/', '_')}.{turn}", os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
            else:
                return device  # the file stays open: closing it would end the claim
        turn += 1
