"""Write the page across data sets."""

from cellcascade.core.jobs import run_job
from cellcascade.report.overview import write_overview


def main(inputs, outputs, *, title, datasets, curves, ablations):
    write_overview(
        title=title,
        datasets=datasets,
        html=outputs.html,
        table=outputs.table,
        curves=curves,
        ablations=[tuple(pair) for pair in ablations],
    )


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
