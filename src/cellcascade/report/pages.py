"""From content to a page: fills a template and writes the page whole or not at all."""

from pathlib import Path

import jinja2

from cellcascade import __version__
from cellcascade.core.files import atomic_path
from cellcascade.core.logs import package_versions


def write_page(template: str, content: object, html: Path) -> None:
    """Fill one of the templates beside this module and write the page.

    Args:
        template: Name of the template.
        content: Its content; the template reads its attributes by their names, and the `versions` of programs.
        html: The page to write.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cellcascade.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    versions = {"cellcascade": __version__, **package_versions()}
    page = environment.get_template(template).render(versions=versions, **vars(content))
    with atomic_path(html) as scratch:
        scratch.write_text(page, encoding="utf-8")
