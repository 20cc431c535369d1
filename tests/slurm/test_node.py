"""A node that fails takes all its jobs with it, so this stands apart from the other failures."""

from tests.slurm.evidence import WEIGHTS, assert_resumed, states, training


def test_a_run_survives_a_node_that_goes_down_and_comes_back(cascade, project):
    head = project.start(WEIGHTS)
    job = training(project)
    project.cluster.command("scontrol", "update", "nodename=gpu1", "state=down", "reason=test")
    assert project.ended(job)["JobState"] == "NODE_FAIL"  # the node itself may be back by now, as it reports anew
    project.cluster.command("scontrol", "update", "nodename=gpu1", "state=resume")
    project.finish(head)
    assert states(project, "train_mask_ddpm") == ["NODE_FAIL", "COMPLETED"]
    assert_resumed(project, cascade)
