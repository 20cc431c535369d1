"""A real SLURM cluster of two nodes on this machine, in one folder, without root, systemd or files in /etc."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # daemons are often not on a user's path
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
# Memory and cores are what the nodes say of themselves: the jobs ask for more than a small machine has, and use little.
CONFIGURATION = """
ClusterName=cellcascade
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
KillWait=10
MinJobAge=7200
JobRequeue=0
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=16 RealMemory=100000
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=16 RealMemory=200000 Gres=gpu:fake:2
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=INFINITE
PartitionName=gpu Nodes=gpu1 MaxTime=INFINITE
"""
# SLURM sets CUDA_VISIBLE_DEVICES only for devices that are character devices.
GPUS = "AutoDetect=off\nNodeName=gpu1 Name=gpu Type=fake File=/dev/null,/dev/zero\n"


def missing() -> list[str]:
    """Programs of SLURM that cannot be found."""
    return [name for name in NEEDED if shutil.which(name, path=PATH) is None]


def until(condition: Callable[[], object], what: str, seconds: float = 120):
    """Wait until a condition gives something, and give that."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.1)
    return found


class Cluster:
    """Munge, the controller and two nodes: cpu1 in partition cpu, gpu1 with two fake GPUs in partition gpu."""

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, []
        (folder / "log").mkdir()
        (folder / "state").mkdir()
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(folder=folder, host=hostname(), user=user(), ports=free_ports(3))
        )
        (folder / "gres.conf").write_text(GPUS)
        # The executor drops SLURM_CONF before its inner srun, which on a cluster finds its configuration in /etc.
        wrapper = folder / "bin" / "srun"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexport SLURM_CONF={folder}/slurm.conf\nexec {shutil.which("srun")} "$@"\n')
        wrapper.chmod(0o755)
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{wrapper.parent}:{PATH}",
        }

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if len(self.daemons) > 1:
            self.command("scancel", f"--user={user()}")
            until(lambda: not self.command("squeue", "--noheader"), "all jobs end")
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(60)
        for pid in self._left():
            os.kill(pid, signal.SIGKILL)

    def _left(self) -> list[int]:
        """Processes of jobs that SLURM has given up, as those on a node that was down: they have its environment."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended, or is another user's
                if os.fsencode(self.folder) in (process / "environ").read_bytes():
                    found.append(int(process.name))
        return found

    def _start(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        files = {
            "socket": "munge.socket",
            "pid-file": "munged.pid",
            "log-file": "munged.log",
            "seed-file": "munged.seed",
        }
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        self._daemon("munged", "--foreground", "--force", f"--key-file={key}", *options)
        until((self.folder / "munge.socket").exists, "munged")
        self._daemon("slurmctld", "-D")
        until(lambda: "is UP" in self.command("scontrol", "ping"), "slurmctld")
        for node in ("cpu1", "gpu1"):
            self._daemon("slurmd", "-D", "-N", node)
        until(lambda: self.states() == {"cpu1": "idle", "gpu1": "idle"}, "both nodes")

    def _daemon(self, *command: str) -> None:
        with open(self.folder / "log" / f"{len(self.daemons)}-{command[0]}.out", "wb") as log:
            daemon = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self.daemons.append(daemon)

    def command(self, *command: str) -> str:
        """What a program of SLURM prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        return done.stdout

    def states(self) -> dict[str, str]:
        """State of each node."""
        return dict(line.split() for line in self.command("sinfo", "-h", "-N", "-o", "%N %t").splitlines())

    def jobs(self, folder: Path | None = None) -> list[dict[str, str]]:
        """All jobs so far, or those of one working folder, oldest first, by the fields of `scontrol show job`."""
        lines = self.command("scontrol", "--oneliner", "--details", "show", "job").splitlines()
        found = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines if "JobId=" in line]
        found.sort(key=lambda job: int(job["JobId"]))
        return [job for job in found if folder is None or job["WorkDir"] == str(folder)]


def hostname() -> str:
    """Short name of this machine, as SLURM looks it up."""
    return socket.gethostname().split(".")[0]


def user() -> str:
    """Name of the user who runs the cluster."""
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


if __name__ == "__main__":
    with Cluster(Path(sys.argv[1])) as running:
        print(f"export SLURM_CONF={running.environment['SLURM_CONF']} PATH={running.environment['PATH']}", flush=True)
        sys.stdin.read()
