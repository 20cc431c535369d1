import numpy as np
import pytest
import torch

from cellcascade.config.settings import Multiview, Shapes, Training
from cellcascade.core.errors import InputError
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.stores import MASKS, VIEWS
from cellcascade.diffusion import multiview
from cellcascade.geometry.cameras import CAMERA_SETS, hemisphere
from cellcascade.geometry.raycast import voxel_points
from cellcascade.geometry.shapes import make_shapes, radius_grids, random_coefficients, view_images
from cellcascade.geometry.view_encoding import CHANNELS
from tests.stores import write_store

QUICK = Training(steps=5, batch_size=4, learning_rate=1e-3, ema_decay=0.5, checkpoint_every=2)
TINY = Multiview(views=3, channels=8, volume_channels=8, sampling_steps=2, sampling_batch=2, train=QUICK)
MODEL = "m/model.safetensors"
ONE_SET = {"cameras": "hemisphere", "surface": "depth"}


def disc(radius, centre=(15.5, 15.5)):
    y, x = np.mgrid[:32, :32]
    return np.hypot(y - centre[0], x - centre[1]) < radius


def masks_shard(path, masks, *, first=0, reasons=None):
    """A shard of masks; cells with a reason are invalid."""
    ids, reasons = range(first, first + len(masks)), reasons or {}
    valid = [cell not in reasons for cell in ids]
    arrays = {"mask": np.stack(masks), "cell_id": np.array(ids), "valid": np.array(valid)}
    return write_store(MASKS, path, arrays, reasons=reasons)


def trained(folder, settings):
    """Folder with a model trained for a few steps."""
    chosen = {"views": settings.views, "cameras": settings.cameras, "surface": settings.surface}
    if not (folder / "s.zarr.zip").exists():
        how = {"settings": Shapes(degree=6, resolution=16), "shapes": (0, 8), "seed": 0}
        make_shapes(**how, **chosen, store=folder / "s.zarr.zip")
    files = {"weights": "model.safetensors", "config": "config.json", "table": "training.csv"}
    multiview.train_multiview(
        shapes=[folder / "s.zarr.zip"],
        settings=settings,
        **{name: folder / "m" / file for name, file in files.items()},
        checkpoints=str(folder / "ck"),
        seed=0,
        device="cpu",
    )
    return folder / "m"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(trained(tmp_path_factory.mktemp("model"), TINY))


def sampled(weights, masks, path, *, max_invalid_fraction=0.0, **changes):
    """The views of a shard of masks."""
    names = {"dataset": "variant", "seeded_as": "d", "seed": 0, "device": "cpu"}
    settings = TINY.model_copy(update=changes)
    limits = {"max_invalid_fraction": max_invalid_fraction}
    multiview.make_views(weights=str(weights), masks=masks, settings=settings, store=path, **names, **limits)
    return VIEWS.open(path)


@pytest.mark.parametrize("surface", ["silhouette", "depth"])
@pytest.mark.parametrize("cameras", ["hemisphere", "syncdreamer"])
def test_model_trains_saves_loads_and_samples(tmp_path, cameras, surface):
    settings = TINY.model_copy(update={"cameras": cameras, "surface": surface})
    folder = trained(tmp_path, settings)
    cells = masks_shard(tmp_path / "masks.zarr.zip", [disc(r) for r in (7, 9, 11)])
    shard = sampled(folder, cells, tmp_path / "v.zarr.zip")
    assert shard["views"].shape == (3, 3, CHANNELS[surface], 16, 16) and np.isfinite(shard["views"]).all()
    expected = CAMERA_SETS[cameras](3)
    np.testing.assert_array_equal(shard["extrinsics"], expected.extrinsics)
    np.testing.assert_array_equal(shard["intrinsics"], expected.intrinsics)
    model, read, _ = multiview.load(str(folder), torch.device("cpu"))
    assert read == settings and {name for name, _ in model.named_buffers()} == {"camera", "voxel_uv", "ray_xyz"}


def test_an_interrupted_training_ends_with_identical_weights(tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole", TINY)
    calls, loss = [], multiview.diffusion_loss

    def killed(*arguments):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(multiview, "diffusion_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", TINY)
    assert not (tmp_path / "cut/m").exists()
    monkeypatch.setattr(multiview, "diffusion_loss", loss)
    resumed = trained(tmp_path / "cut", TINY)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_views_do_not_depend_on_batches_shards_or_neighbours(weights, tmp_path):
    masks = [disc(r) for r in (5, 7, 9, 10, 11)]
    five = sampled(weights, masks_shard(tmp_path / "five.zarr.zip", masks), tmp_path / "a.zarr.zip")
    last = masks_shard(tmp_path / "last.zarr.zip", masks[3:], first=3)
    assert five["views"].shape[0] % TINY.sampling_batch == 1
    np.testing.assert_array_equal(five["views"][3:], sampled(weights, last, tmp_path / "b.zarr.zip")["views"][:])
    beside = masks_shard(tmp_path / "beside.zarr.zip", masks, reasons={1: "fragmented"})
    kept = sampled(weights, beside, tmp_path / "c.zarr.zip", max_invalid_fraction=0.2)
    np.testing.assert_array_equal(kept["views"][[0, 2, 3, 4]], five["views"][[0, 2, 3, 4]])
    assert not np.array_equal(five["views"][0], five["views"][1])


def test_cells_without_a_usable_mask_are_not_sampled_and_their_reasons_go_on(weights, tmp_path, monkeypatch):
    masks = [disc(0), disc(7), disc(4, (8, 8)) | disc(4, (24, 24)), disc(7, (6, 15)), disc(8)]
    cells = masks_shard(tmp_path / "m.zarr.zip", masks, first=10, reasons={14: "found by its stage"})
    batches, guided = [], multiview._guided
    monkeypatch.setattr(multiview, "_guided", lambda *given: batches.append(given) or guided(*given))
    shard = sampled(weights, cells, tmp_path / "v.zarr.zip", max_invalid_fraction=0.8)
    assert len(batches) == 1 and shard["valid"].tolist() == [0, 1, 0, 0, 0]
    assert shard.record.reasons == {
        10: "empty or too small",
        12: "fragmented",
        13: "touches the border",
        14: "found by its stage",
    }
    assert shard.record.dataset == "variant" and set(shard.record.digests) == {f"{tmp_path.name}/m.zarr.zip", MODEL}
    views = shard["views"]
    assert np.abs(views[1]).max() > 0 and (views[[0, 2, 3, 4]] == 0).all()


def test_a_shard_without_any_usable_mask_has_views_of_nothing(weights, tmp_path):
    cells = masks_shard(tmp_path / "m.zarr.zip", [disc(0), disc(4, (8, 8)) | disc(4, (24, 24))])
    shard = sampled(weights, cells, tmp_path / "v.zarr.zip", max_invalid_fraction=1.0)
    assert not shard["valid"].any() and shard["views"].shape[0] == 2 and not shard["views"].any()


def test_too_many_bad_masks_stop_the_job_before_the_model_is_loaded(tmp_path):
    cells = masks_shard(tmp_path / "m.zarr.zip", [disc(7), disc(0)])
    with pytest.raises(InputError, match=r"1 of 2: \['empty or too small'\]"):
        sampled(str(tmp_path / "no-model"), cells, tmp_path / "v.zarr.zip", max_invalid_fraction=0.4)
    assert not (tmp_path / "v.zarr.zip").exists()


def test_model_space_is_inverted_and_of_unit_size():
    shapes = np.stack([random_coefficients(Shapes(), numpy_generator(0, i)) for i in range(20)])
    images = torch.from_numpy(view_images(radius_grids(shapes), hemisphere(4), "depth", 16))
    inside = multiview.to_model(images)
    near = (images[:, :, :1].abs() < 0.3).expand_as(images)
    torch.testing.assert_close(multiview.from_model(inside)[near], images[near])
    torch.testing.assert_close(multiview.from_model(inside)[:, :, 1:], images[:, :, 1:])
    assert inside[:, :, 0].abs().max() == multiview.FARTHEST
    spread = inside.std((0, 1, 3, 4))
    assert (spread > 0.3).all() and (spread < 1.5).all()
    torch.testing.assert_close(multiview.to_model(images[:, :, :1]), inside[:, :, :1])


def test_errors_of_training_masks_are_small_wavy_and_depend_on_their_generator():
    clean = torch.zeros(64, 32, 32)
    changed, again, other = (multiview.with_errors(clean, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(changed, again) and not torch.equal(changed, other)
    largest = changed.abs().amax((1, 2))
    assert largest.max() < 6 * (multiview.OUTLINE_WAVES + multiview.OUTLINE_NOISE)
    assert largest.min() < 0.25 * largest.max()  # some masks are nearly as they were
    assert abs(changed.mean()) < 0.01  # outlines move outwards as often as inwards
    wavy = changed[changed.std((1, 2)) > 0.06]
    neighbours = (wavy[:, :, 1:] * wavy[:, :, :-1]).mean() / wavy.square().mean()
    assert len(wavy) > 5 and neighbours > 0.7
    shifted = multiview.with_errors(clean + 1, torch.Generator().manual_seed(0))
    torch.testing.assert_close(shifted - 1, changed, atol=1e-6, rtol=0)


def lively(seed=0, **settings):
    """An untrained network in which attention speaks too."""
    torch.manual_seed(seed)
    model = multiview.build(Multiview(views=3, channels=8, volume_channels=8, **settings), 16)
    torch.nn.init.normal_(model.attention.out.weight)
    return model.eval()


@pytest.mark.parametrize(
    ("cameras", "surface"), [("hemisphere", "silhouette"), ("hemisphere", "depth"), ("syncdreamer", "depth")]
)
def test_views_see_each_other_through_the_volume(cameras, surface):
    model = lively(cameras=cameras, surface=surface)
    noisy, mask = torch.randn(1, 3, CHANNELS[surface], 16, 16), torch.randn(1, 2, 16, 16)
    steps, other = torch.tensor([500]), noisy.clone()
    other[:, 2] += 1
    assert model(noisy, steps, mask).shape == noisy.shape
    assert not torch.allclose(model(noisy, steps, mask)[:, 0], model(other, steps, mask)[:, 0], atol=1e-6)


@pytest.mark.parametrize("cameras", ["hemisphere", "syncdreamer"])
def test_rays_read_the_volume_where_they_pass(cameras):
    model = lively(cameras=cameras)
    where = voxel_points(8).permute(3, 0, 1, 2)[None]  # a volume that tells its own coordinates
    read = model._along_rays(where, 3)
    expected = model.ray_xyz.permute(0, 4, 1, 2, 3).clamp(-7 / 8, 7 / 8)  # beyond the outermost centres, the border
    torch.testing.assert_close(read, expected, atol=1e-5, rtol=0)


def guided(model, mask, scale):
    return multiview._guided(model, mask, TINY.model_copy(update={"guidance": scale}))


def test_guidance_moves_away_from_the_prediction_without_a_mask():
    model = lively(**ONE_SET)
    noisy, steps = torch.randn(2, 3, 3, 16, 16), torch.tensor([400, 400])
    mask, other = (multiview.condition(torch.full((2, 16, 16), level)) for level in (0.5, -0.5))
    with torch.no_grad():
        free, given, far = (guided(model, mask, scale)(noisy, steps) for scale in (0, 1, 3))
        free_again = guided(model, other, 0)(noisy, steps)
        unconditional = model(noisy, steps, torch.zeros_like(mask))
    torch.testing.assert_close(free, unconditional)
    torch.testing.assert_close(free, free_again)
    assert (given - free).abs().max() > 1e-3
    torch.testing.assert_close(far, free + 3 * (given - free), atol=1e-4, rtol=1e-4)


def test_guidance_changes_samples(weights, tmp_path):
    cells = masks_shard(tmp_path / "m.zarr.zip", [disc(7), disc(10)])
    plain, strong = (
        sampled(weights, cells, tmp_path / f"{scale}.zarr.zip", guidance=scale)["views"][:] for scale in (1.0, 2.0)
    )
    assert np.isfinite(strong).all() and not np.allclose(plain, strong, atol=1e-4)


def test_bundled_weights_predict_round_views_of_a_disc(tmp_path):
    y, x = np.mgrid[:64, :64] - 31.5
    cells = masks_shard(tmp_path / "m.zarr.zip", [np.hypot(x, y) < 18] * 2)
    shard = sampled("bundled", cells, tmp_path / "v.zarr.zip", sampling_steps=8)
    share = (shard["views"][:, :, 0] > 0).mean((2, 3))
    assert (share > 0.1).all() and (share < 0.5).all()


def test_settings_that_the_weights_do_not_have_are_named(tmp_path, caplog):
    y, x = np.mgrid[:32, :32] - 15.5
    cells = masks_shard(tmp_path / "m.zarr.zip", [np.hypot(x, y) < 9])
    own = {"sampling_steps": 1, "views": 8, "channels": 32, "volume_channels": 32}
    for asked, named in (({}, False), ({"cameras": "syncdreamer"}, True)):
        with caplog.at_level("WARNING"):
            sampled("bundled", cells, tmp_path / "v.zarr.zip", **own | asked)
        assert ("trained with cameras: hemisphere: that is used" in caplog.text) == named
