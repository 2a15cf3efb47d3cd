"""FID and FVD: streaming and errors with tiny networks; the real architectures against PyTorch (slow)."""

import importlib.util
import sys

import numpy as np
import pytest
from conftest import check_one_line_error, run

from mg.errors import InputError
from mg.files import sha256
from mg.metrics import fid, fvd
from mg.metrics.features import PairedFeatures, network_pixels
from mg.metrics.onnx import Network


class StandIn:
    """Takes the place of a file's network: the mean of each channel, repeated. Keeps what it was given."""

    def __init__(self, path, what, remedy, inputs, output):
        self.inputs, self.dimensions = [(path, *inputs[0][1:])], output[1]
        self.about, self.batches = {"network": "stand-in"}, []

    def __call__(self, batch):
        self.batches.append(batch.copy())
        means = batch.reshape(*batch.shape[:2], -1).mean(-1)
        return np.resize(means.T, (self.dimensions, len(batch))).T


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(fid, "Network", StandIn)
    monkeypatch.setattr(fvd, "Network", StandIn)


def numbered(count, first=0):
    """Frames whose level is their number."""
    return [np.full((20, 24, 3), first + number, np.uint8) for number in range(count)]


def waves(count, height, width):
    """Smooth frames that change in time, with detail at all scales."""
    t, y, x = np.mgrid[:count, :height, :width]
    planes = [np.sin(x / (2 + 3 * c) + t / 3) + np.cos(y / (9 - 3 * c) - t * x / 500) for c in range(3)]
    return np.rint(127 + 60 * np.stack(planes, -1)).astype(np.uint8)


def features(metric, originals, recons):
    scorer = metric.scorer()
    for pair in zip(originals, recons):
        scorer.add(*pair)
    return scorer.finish()


def level(number):
    return 2 * number / 255 - 1


def test_fid_covers_every_frame_once_in_batches_of_one_size(stand_in):
    metric = fid.FID(4)
    found = features(metric, numbered(10), numbered(10, first=100))
    assert found.shape == (2, 10, 2048) and found.dtype == np.float32
    np.testing.assert_allclose(found[0, :, 0], level(np.arange(10)), atol=1e-6)
    np.testing.assert_allclose(found[1, :, 0], level(np.arange(100, 110)), atol=1e-6)
    assert {batch.shape for batch in metric.network.batches} == {(4, 3, 299, 299)}
    assert len(metric.network.batches) == 6
    last = metric.network.batches[-1][:, 0, 0, 0]
    np.testing.assert_allclose(last, level(np.array([108, 109, 109, 109])), atol=1e-6)


def test_fvd_covers_whole_windows_in_order(stand_in):
    metric = fvd.FVD(2)
    found = features(metric, numbered(16 * 3 + 5), numbered(16 * 3 + 5, first=60))
    assert found.shape == (2, 3, 400)
    np.testing.assert_allclose(found[0, :, 0], level(np.array([7.5, 23.5, 39.5])), atol=1e-6)
    np.testing.assert_allclose(found[1, :, 0], level(np.array([67.5, 83.5, 99.5])), atol=1e-6)
    first = metric.network.batches[0]
    assert first.shape == (2, 3, 16, 224, 224)
    np.testing.assert_allclose(first[:, 0, :, 5, 5].ravel(), level(np.arange(32)), atol=1e-6)


def test_a_clip_shorter_than_a_window_has_no_features(stand_in):
    assert features(fvd.FVD(1), numbered(15), numbered(15)).shape == (2, 0, 400)


def test_scorers_at_work_together_do_not_meet(stand_in):
    metric = fid.FID(4)
    one, other = metric.scorer(), metric.scorer()
    for number, frame in enumerate(numbered(6)):
        one.add(frame, frame)
        if number < 3:
            other.add(frame + 50, frame)
    np.testing.assert_array_equal(one.finish(), features(metric, numbered(6), numbered(6)))
    np.testing.assert_array_equal(other.finish(), features(metric, numbered(3, 50), numbered(3)))


@pytest.mark.parametrize("name, make", [("fid", fid.FID), ("fvd", fvd.FVD)])
def test_equal_clips_are_at_distance_zero_and_others_are_not(stand_in, monkeypatch, name, make):
    monkeypatch.setattr(fid, "DIMENSIONS", 60)  # 2048 take seconds
    metric = make(None)  # the file leaves the batch free
    frames = waves(32, 30, 40)
    assert metric.name == name and metric.about["network"] == "stand-in"
    assert metric.distance([features(metric, frames, frames)]) < 1e-10
    distances = [metric.distance([features(metric, frames, np.minimum(frames, cap))]) for cap in (180, 120, 60)]
    assert 1e-3 < distances[0] < distances[1] < distances[2]


def test_pixels_of_a_ramp_and_of_the_same_size():
    ramp = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None, None], (100, 30, 3))
    pixels = network_pixels(ramp, 40)
    assert pixels.shape == (3, 40, 40) and pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[1, :, 7], level(2.5 * (np.arange(40) + 0.5) - 0.5), atol=1e-6)
    frame = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    np.testing.assert_allclose(network_pixels(frame, 40), level(frame.transpose(2, 0, 1).astype(float)), atol=1e-6)


def test_enlarged_pixels_stop_at_the_edges():
    frame = np.array([[0, 255]], np.uint8)[..., None].repeat(3, -1)
    np.testing.assert_allclose(network_pixels(frame, 4)[0], [[-1, -0.5, 0.5, 1]] * 4, atol=1e-6)


# Files


def write(path, shape, dimensions, floating="FLOAT", **metadata):
    """An ONNX file: the means of the channels times a matrix, which is returned."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    kind = getattr(onnx.TensorProto, floating)
    matrix = np.random.default_rng(0).standard_normal((3, dimensions)).astype(np.float32)
    kept = matrix.astype(np.float64 if floating == "DOUBLE" else np.float32)
    nodes = [
        onnx.helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[*range(2, len(shape))], keepdims=0),
        onnx.helper.make_node("MatMul", ["means", "matrix"], ["features"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "tiny",
        [onnx.helper.make_tensor_value_info("pixels", kind, shape)],
        [onnx.helper.make_tensor_value_info("features", kind, [shape[0], dimensions])],
        [onnx.numpy_helper.from_array(kept, "matrix")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return matrix


@pytest.mark.parametrize("batch", [4, "n"])
def test_fid_from_a_file(tmp_path, batch):
    matrix = write(tmp_path / "tiny.onnx", [batch, 3, 299, 299], 2048, variant="tiny")
    metric = fid.FID(tmp_path / "tiny.onnx")
    assert metric.about["network_sha256"] == sha256(tmp_path / "tiny.onnx")
    assert metric.about["variant"] == "tiny" and metric.about["network"] == "tiny.onnx"
    assert metric.network.inputs == [(batch if batch == 4 else None, 3, 299, 299)]
    frames = waves(9, 33, 57)
    found = features(metric, frames, frames[::-1])
    means = np.stack([network_pixels(frame, 299).mean((1, 2)) for frame in frames])
    np.testing.assert_allclose(found[0], means @ matrix, atol=1e-4)
    np.testing.assert_allclose(found[1], means[::-1] @ matrix, atol=1e-4)
    np.testing.assert_array_equal(found, features(metric, frames, frames[::-1]))


def test_fvd_from_a_file(tmp_path):
    matrix = write(tmp_path / "tiny.onnx", [1, 3, 16, 224, 224], 400)
    frames = waves(33, 20, 30)
    found = features(fvd.FVD(tmp_path / "tiny.onnx"), frames, frames)
    pixels = np.stack([network_pixels(frame, 224).mean((1, 2)) for frame in frames])
    np.testing.assert_allclose(found[0], np.stack([pixels[:16].mean(0), pixels[16:32].mean(0)]) @ matrix, atol=1e-4)


@pytest.mark.parametrize(
    "shape, dimensions, kind, words",
    [
        ([1, 3, 16, 224, 224], 400, "FLOAT", r"takes \(1, 3, 16, 224, 224\), but it should be \(any, 3, 299, 299\)"),
        ([1, 3, 299, 299], 1000, "FLOAT", r"gives \(1, 1000\), but it should be \(any, 2048\)"),
        ([1, 3, 299, 299], 2048, "DOUBLE", r"works on tensor\(double\)"),
    ],
)
def test_another_network_is_refused(tmp_path, shape, dimensions, kind, words):
    write(tmp_path / "tiny.onnx", shape, dimensions, kind)
    with pytest.raises(InputError, match=words + ".* for FID's network; make one with 'python tools/export/inception"):
        fid.FID(tmp_path / "tiny.onnx")


def test_inputs_of_another_size_are_one_line(tmp_path):
    write(tmp_path / "tiny.onnx", [2, 3, 299, 299], 2048)
    network = Network(tmp_path / "tiny.onnx", "a network", "make another", [(None, 3, None, None)], (None, 2048))
    with pytest.raises(InputError, match=r"cannot be run as a network .*; make another") as error:
        network(np.zeros((1, 3, 10, 10), np.float32))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("make, flag", [(fid.FID, "--inception_onnx"), (fvd.FVD, "--i3d_onnx")])
def test_no_file_and_a_damaged_one_name_the_exporter(tmp_path, make, flag):
    for path, words in ((None, "no file of"), (tmp_path / "absent.onnx", "absent.onnx")):
        with pytest.raises(InputError, match=f"{words}.*python tools/export/.*{flag}"):
            make(path)
    pytest.importorskip("onnxruntime")
    (tmp_path / "damaged.onnx").write_bytes(b"not a network")
    with pytest.raises(InputError, match=f"damaged.onnx' is no ONNX file.*python tools/export/.*{flag}") as error:
        make(tmp_path / "damaged.onnx")
    assert "\n" not in str(error.value)


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install onnxruntime"):
        fid.FID(tmp_path / "a.onnx")


def test_features_are_padded_but_not_counted():
    network = StandIn(3, "", "", [(None, 1, 1, 1)], (None, 1))
    paired = PairedFeatures(network, (1, 1, 1))
    for number in range(4):
        paired.add(np.full((1, 1, 1), number), np.full((1, 1, 1), -number))
    assert paired.finish()[:, :, 0].tolist() == [[0, 1, 2, 3], [0, -1, -2, -3]]


# The real architectures


@pytest.fixture(scope="module", params=["inception", "i3d"])
def exported(request, tmp_path_factory):
    """Name, folder with the exporter's file of seed 0 and PyTorch's features, and the frames."""
    for package in ("torch", "torchvision", "onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    frames = waves(35, 90, 123)
    np.save(folder / "frames.npy", frames)
    done = run(f"tools/export/{request.param}.py", "--random_seed", "0", "--target", "seed.onnx", cwd=folder)
    assert "random, seed 0" in done.stdout
    run("tests/metrics/torch_reference.py", request.param, "frames.npy", folder, cwd=folder)
    return request.param, folder, frames


def metric_of(name, path):
    return fid.FID(path) if name == "inception" else fvd.FVD(path)


@pytest.mark.slow
def test_features_are_those_of_pytorch(exported):
    name, folder, frames = exported
    found = features(metric_of(name, folder / "seed.onnx"), frames, frames[::-1])
    expected = np.load(folder / "exporter.npy")
    assert found.shape[1:] == expected.shape == ((35, 2048) if name == "inception" else (2, 400))
    assert expected.std(0).mean() > 0.01, "features must differ from frame to frame for this to be a test"
    np.testing.assert_allclose(found[0], expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(np.load(folder / "second.npy"), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_published_weights_give_the_same_network(exported):
    name, folder, frames = exported
    expected = features(metric_of(name, folder / "seed.onnx"), frames, frames)
    for source in ("weights.pth", "script.pt") if name == "i3d" else ("weights.pth",):
        target = folder / f"{source}.onnx"
        run(f"tools/export/{name}.py", "--weights", source, "--target", target, cwd=folder)
        metric = metric_of(name, target)
        assert metric.about["weights"] == source and metric.about["weights_sha256"] == sha256(folder / source)
        np.testing.assert_allclose(features(metric, frames, frames), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_other_weights_are_refused_and_nothing_is_written(exported):
    name, folder, _ = exported
    other = {"inception": "torchvision.pth", "i3d": "frames.npy"}[name]
    words = {"inception": "1 unexpected (AuxLogits.fc.bias)", "i3d": "cannot be read as PyTorch weights"}[name]
    for source, word in ((other, words), ("absent.pth", "absent.pth")):
        done = run(f"tools/export/{name}.py", "--weights", source, "--target", "new/out.onnx", cwd=folder, code=2)
        check_one_line_error(done, source, word)
    assert not list(folder.glob("**/out.onnx")) and not list(folder.glob("**/.*part*"))


@pytest.mark.slow
def test_the_distance_rises_with_noise(exported):
    name, folder, frames = exported
    metric, rng = metric_of(name, folder / "seed.onnx"), np.random.default_rng(0)
    noise = rng.standard_normal(frames.shape)
    worse = [np.clip(np.rint(frames + sigma * noise), 0, 255).astype(np.uint8) for sigma in (2, 50)]
    distances = [metric.distance([features(metric, frames, recon)]) for recon in worse]
    assert distances == sorted(distances) and distances[0] > 1e-6
    assert metric.distance([features(metric, frames, frames)]) < 1e-9
