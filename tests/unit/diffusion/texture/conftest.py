"""What the tests of textures share: a tiny model, and short looks while it trains."""

import pytest

from cellcascade.diffusion.texture import monitor
from tests.sd_base import make_base


@pytest.fixture(autouse=True)
def short_looks(monkeypatch):
    """Looks take two steps instead of 25, and fewer cells show the light across edges."""
    monkeypatch.setattr(monitor, "MEASURED", 24)
    monkeypatch.setattr(monitor, "STEPS", 2)


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A tiny pretrained model."""
    return make_base(tmp_path_factory.mktemp("base"))
