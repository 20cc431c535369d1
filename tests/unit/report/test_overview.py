"""The page across data sets: right numbers, honest where nothing was measured, and drawn by a real browser."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.report import overview
from cellcascade.report.overview import write_overview
from tests.unit.report.reading import CHROMIUM, Page, browser, inked_rows, text_of
from tests.unit.report.tables import all_tables, distance_table, seg_table, write_tables


@pytest.fixture
def pages(tmp_path):
    """A page of four data sets: two that form a learning curve, a variant, and one without evaluation."""
    datasets = {
        name: write_tables(tmp_path / name, all_tables(name, frames=frames, shift=shift))
        for name, frames, shift in (("TOY_k1", 1, 0.05), ("TOY", 20, -0.05), ("TOY_sh", 20, -0.2))
    }
    datasets["BARE"] = write_tables(tmp_path / "BARE", {"shape": distance_table(area=0.14)})
    html, table = tmp_path / "overview/index.html", tmp_path / "overview/seg.csv"
    write_overview(
        title="Across <data sets>",
        datasets=datasets,
        html=html,
        table=table,
        curves=[["TOY_k1", "TOY_k2", "TOY"]],
        replicates=[["TOY_k1", "TOY_sh", "TOY_k3"]],
        ablations=[("TOY", "TOY_sh"), ("TOY", "TOY_missing")],
    )
    return html, table


def test_page_holds_all_sections_and_their_numbers(pages):
    html, table = pages
    page = Page(html)
    assert {"gains", "seg", "learning-curve", "ablations", "fid", "distances", "memorisation"} <= set(page.ids)
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    text = text_of(page)
    for expected in (
        "Across <data sets>",
        "1 of 3 data sets in which adding synthetic images",
        "No difference could be shown in 1; it became worse in 1.",
        "TOY_k1 silver 12 cells 0.470 0.820 ± 0.020 – 0.820 ± 0.017 0.920 ± 0.010 3 97 scratch",
        "silver 12 0.820 ± 0.020 – 0.920 ± 0.010 +0.100 [+0.075, +0.125] 3",
        "Not measured: TOY_k2.",
        "TOY_k1, TOY_sh silver Both over Real −0.025 [−1.613, +1.563] 2",
        "TOY TOY_sh 0.820 → 0.670 −0.150 [−0.150, −0.150] 26.5 → 26.5 – 0.20 → 0.20",
        "TOY TOY_missing – – 26.5 → – – 0.20 → –",
        "Inception (2048-d) 9 [8, 10] 26.5 [24, 29] 0.0003",
        "area (pixels) – – – 0.14",
        "TOY masks 4.0 % 5.0 % −1.0 no sign of copying cell images 17.0 % 5.0 % +12.0 copies are likely",
    ):
        assert expected in text, expected
    assert len(pd.read_csv(table)) == 30 and set(pd.read_csv(table)["dataset"]) == {"TOY_k1", "TOY", "TOY_sh"}


def test_page_without_any_evaluation_says_so(tmp_path):
    files = {"html": tmp_path / "a.html", "table": tmp_path / "a.csv"}
    write_overview(title="Nothing", datasets={"A": {}}, curves=[], replicates=[], ablations=[], **files)
    page = Page(tmp_path / "a.html")
    assert "Not measured" in page.text and "evaluation.regimes" in page.text
    assert not {"gains", "seg", "learning-curve", "ablations", "fid"} & set(page.ids)
    assert pd.read_csv(tmp_path / "a.csv").empty


def test_ablations_are_paired_by_seed():
    parent, variant = seg_table("A"), seg_table("B", shift=-0.01)
    variant.loc[variant["regime"] == "synthetic", "seg"] += [0.01, 0.02, 0.03]
    found = overview.ablation(parent, variant).set_index("regime")
    assert found.loc["both", ["gain", "low", "high"]].to_list() == pytest.approx([-0.01] * 3)
    half = 4.302653 * 0.01 / np.sqrt(3)
    assert found.loc["synthetic", ["gain", "low", "high"]].to_list() == pytest.approx([0.02, 0.02 - half, 0.02 + half])
    assert overview.ablation(parent, None).empty


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to draw the page with")
def test_a_browser_draws_the_page_without_overflow(pages, tmp_path):
    width, images, loaded, picture = browser(pages[0], tmp_path)
    assert width <= 1280 and images == loaded == 3
    assert inked_rows(picture) > 0.2
