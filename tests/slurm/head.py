"""The command `snakemake` with a plugin that asks the cluster every second how its jobs are.

It waits ten seconds longer after each question without news, as suits a busy cluster: most of the time of these tests
would go by between the end of a job and the question that finds it ended.
"""

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

SECONDS = 1


def keep(executor: RemoteExecutor, seconds: int) -> None:
    """Take note of no other interval."""


if __name__ == "__main__":
    RemoteExecutor.next_seconds_between_status_checks = property(lambda executor: SECONDS, keep)
    main()
