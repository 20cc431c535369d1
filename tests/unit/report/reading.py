"""Pages read as a browser does: their structure, text and pictures, and how Chromium draws them."""

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def text_of(page: "Page") -> str:
    return re.sub(r"\s+", " ", page.text)


def pixels_of(uri: str) -> np.ndarray:
    """The pixels of a picture in a `data:` address."""
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"), validate=True)
    return np.asarray(Image.open(io.BytesIO(data)))


class Page(HTMLParser):
    """Text, headings, addresses and images of a page; fails on tags that are not closed in order."""

    VOID = {"meta", "img", "input", "br", "link"}

    def __init__(self, path):
        super().__init__()
        self.text, self.ids, self.links, self.images, self.open = "", [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[key] for key in ("src", "href", "srcset", "action") if key in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "img":
            assert attrs["alt"]
            self.images.append(pixels_of(attrs["src"]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += " " + data
        else:
            assert "url(" not in data and "@import" not in data


def browser(html, folder):
    """Draw a page 1280 pixels wide; gives its full width, how many images it has and has loaded, and the picture."""
    script = "[document.documentElement.scrollWidth, document.images.length, "
    script += "[...document.images].filter(image => image.naturalWidth > 0).length].join(' ')"
    probe, picture = folder / "probe.html", folder / "page.png"
    probe.write_text(html.read_text().replace("</body>", f"<script>document.title = {script}</script></body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder / 'user'}"]
    call = [CHROMIUM, *flags, "--window-size=1280,2600"]
    subprocess.run([*call, f"--screenshot={picture}", html.as_uri()], check=True, capture_output=True, timeout=120)
    dumped = subprocess.run([*call, "--dump-dom", probe.as_uri()], check=True, capture_output=True, timeout=120)
    numbers = re.search(r"<title>(\d+) (\d+) (\d+)</title>", dumped.stdout.decode()).groups()
    return *map(int, numbers), np.asarray(Image.open(picture).convert("RGB"))


def inked_rows(picture):
    """Share of the rows that hold anything; a right margin that is not empty is an error."""
    assert picture.shape == (2600, 1280, 3)
    inked = (np.abs(picture.astype(int) - picture[0, 0]) > 40).any(2)
    assert not inked[:, 1230:].any()
    return inked.any(1).mean()
