"""From content to a page: templates, the versions behind a result, and writing whole or not at all."""

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import jinja2

from cellcascade import __version__
from cellcascade.core.files import atomic_path

PACKAGES = (
    "torch",
    "snakemake",
    "cellpose",
    "diffusers",
    "numpy",
    "scipy",
    "scikit-image",
    "pyshtools",
    "zarr",
    "ome-zarr",
)


def versions() -> list[tuple[str, str]]:
    """The programs behind a result and their versions; packages that are not installed are left out."""
    found = [("cellcascade", __version__), ("python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found


def write_page(template: str, content: Mapping, html: str | Path) -> None:
    """Fill one of the templates beside this module and write the page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cellcascade.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(versions=versions(), **content)
    with atomic_path(html) as scratch:
        scratch.write_text(page, encoding="utf-8")
