"""The commands of a cluster's scheduler that its profile of Snakemake needs. Free of torch."""

import shutil
from pathlib import Path

from cellcascade.core.errors import InputError

# By executor: what submits jobs, what asks for their state, what cancels them.
COMMANDS = {"slurm": ("sbatch", "squeue", "scancel")}


def missing_commands(profile: Path) -> list[str]:
    """Commands that a profile needs and that are not on PATH.

    Args:
        profile: Folder of the profile, or its file.

    Raises:
        InputError: There is no such profile, or it is no YAML.
    """
    return absent(str(read_profile(profile).get("executor")))


def absent(executor: str) -> list[str]:
    """Commands of an executor that are not on PATH; none of those that are not known here."""
    return [command for command in COMMANDS.get(executor, ()) if shutil.which(command) is None]


def no_scheduler(executor: str, commands: list[str]) -> InputError:
    """The error for an executor whose commands are missing."""
    return InputError(
        f"Jobs cannot be sent to {executor}: its commands are not here",
        where="PATH of the machine that Snakemake runs on",
        found=f"no {', '.join(commands)}",
        expected=f"the commands of {executor}, as on the login node of a cluster",
        fix="run the same command on the login node, load the cluster's module, or leave --profile out to run here",
    )


def read_profile(profile: Path) -> dict:
    """The keys of a profile.

    Raises:
        InputError: There is no such profile, or it is no YAML.
    """
    import yaml

    file = profile if profile.is_file() else profile / "config.yaml"
    try:
        read = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _no_profile(file, " ".join(str(error).split())) from error
    if not isinstance(read, dict):
        raise _no_profile(file, f"{type(read).__name__}")
    return read


def _no_profile(file: Path, found: str) -> InputError:
    return InputError(
        "The profile cannot be read",
        where=file,
        found=found,
        expected="a folder with config.yaml, such as slurm/",
        fix="correct its name",
    )
