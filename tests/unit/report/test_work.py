"""What the trainings and stages took."""

import numpy as np

from cellcascade.report.sources import WorkFiles
from cellcascade.report.work import duration, read_benchmarks, work_part


def test_stages_are_summed_and_files_that_cannot_be_read_are_named(tmp_path):
    texts = {
        "textures/shard-000": "s\tmax_rss\n5\t-\n",
        "evaluation/cellpose/train/real-0": "s\tmax_rss\n20\t9\n",
        "evaluation/cellpose/train/both-0": "s\tmax_rss\n30\t8\n",
        "crops": "s\tmax_rss\n7\t12.5\n",
        "masks/shard-001": "",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.tsv").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.tsv").write_text(text)
    table, unread = read_benchmarks(tmp_path)
    assert list(table["stage"]) == ["evaluation/cellpose/train", "crops", "textures"]
    assert unread == ["masks/shard-001"] and list(table["seconds"]) == [50, 7, 5]
    assert list(table["jobs"]) == [2, 1, 1] and table["longest"].iloc[0] == 30 and table["max_rss_mb"].iloc[0] == 9
    assert table["max_rss_mb"].iloc[1] == 12.5 and np.isnan(table["max_rss_mb"].iloc[2])
    shares = [stage.share for stage in work_part(WorkFiles({}, tmp_path)).stages]
    assert np.isclose(sum(shares), 1) and shares[0] == 50 / 62


def test_without_files_there_is_nothing_to_say(tmp_path):
    assert read_benchmarks(tmp_path / "missing")[0].empty
    part = work_part(WorkFiles())
    assert part.curves is None and not part.models and not part.stages


def test_durations_have_two_units():
    assert [duration(value) for value in (3.04, 75, 3600 * 2 + 60 * 5)] == ["3.0 s", "1 min 15 s", "2 h 05 min"]
