"""FloLPIPS against its formula, by degrees, and with a flow network from a file."""

import subprocess
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from conftest import check_one_line_error, random_clip, run
from degrade import blurred, check_rises, drawn_clip, jittered, noisy, real_clip, score, with_dropped_frames
from mindspore import Tensor
from random_lpips import write_random

from mg.errors import InputError
from mg.metrics.flolpips import FloLPIPS, pooling_weights
from mg.metrics.flow import OnnxFlow, resize_flow
from mg.metrics.lpips import LPIPS

EXPORTER = "tools/export/raft.py"
needs_onnx = pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("onnxruntime") is None, reason="onnx and onnxruntime are not both installed"
)
needs_torch = pytest.mark.skipif(
    find_spec("torchvision") is None or find_spec("onnx") is None or find_spec("onnxruntime") is None,
    reason="torchvision, onnx and onnxruntime are not all installed",
)


def dis_flow(first, second):
    """OpenCV's dense inverse search, in place of a network."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)


def no_flow(first, second):
    return np.zeros((*first.shape[:2], 2), np.float32)


@pytest.fixture(scope="module", params=["vgg", "alex"])
def path(request, tmp_path_factory):
    return write_random(tmp_path_factory.mktemp(request.param) / "x.safetensors", request.param)


@pytest.fixture(scope="module")
def metric(path):
    return FloLPIPS(path, dis_flow, {"flow": "DIS"})


def test_identical_clips_are_at_zero(metric, path):
    clip = drawn_clip(6)
    np.testing.assert_array_equal(score(metric, clip, clip), np.zeros(5))
    np.testing.assert_array_equal(score(FloLPIPS(path, no_flow, {}), clip, clip), np.zeros(5))


def test_it_is_lpips_of_the_earlier_frames_where_flows_agree(path):
    clip = drawn_clip(4)
    recon = noisy(clip, 20)
    expected = score(LPIPS(path), clip, recon)[:-1]
    np.testing.assert_allclose(score(FloLPIPS(path, no_flow, {}), clip, recon), expected, rtol=1e-5)


def unit(feature):
    feature = feature.asnumpy().astype(np.float64)
    return feature / np.sqrt((feature**2).sum(1, keepdims=True))


def test_the_formula(metric):
    x, y = random_clip(2, 3, 40, 48), random_clip(2, 3, 40, 48, seed=1)
    network = metric.network
    features = [[unit(f) for f in network.features(image)] for image in (x, y)]
    sizes, rng, expected, weights = [f.shape[2:] for f in features[0]], np.random.default_rng(0), 0, []
    for a, b, head, size in zip(*features, network.heads, sizes):
        weight = rng.uniform(size=(2, *size))
        weight /= weight.sum((1, 2), keepdims=True)
        maps = ((a - b) ** 2 * head.weight.asnumpy()[:, None, None]).sum(1)
        expected = expected + (maps * weight).sum((1, 2))
        weights.append(Tensor(weight.reshape(2, -1, 1).astype(np.float32)))
    np.testing.assert_allclose(metric.weighted(x, y, *weights).asnumpy(), expected, rtol=1e-4)


def test_weights_follow_the_length_of_the_difference():
    difference = np.zeros((8, 12, 2))
    difference[2:4, 6:8] = (3, -4)
    difference[4:6, 0:2] = (5, 0)
    fine, coarse = pooling_weights(difference, [(8, 12), (4, 6)])
    expected = np.zeros((4, 6))
    expected[1, 3] = expected[2, 0] = 0.5
    np.testing.assert_allclose(coarse.reshape(4, 6), expected, atol=1e-7)
    np.testing.assert_allclose(fine.reshape(8, 12), np.kron(expected, np.full((2, 2), 0.25)), atol=1e-7)
    np.testing.assert_array_equal(pooling_weights(np.zeros((8, 12, 2)), [(2, 5)])[0], np.full((10, 1), 0.1, np.float32))


def test_errors_where_nothing_moves_count_less(path):
    def moves_on_the_left(first, second):
        flow = no_flow(first, second)
        flow[:, :32, 0] = second.mean()  # original and reconstruction differ in it
        return flow

    clip = np.full((2, 64, 64, 3), 100, np.uint8)
    left, right = clip.copy(), clip.copy()
    left[:, 16:48, 4:20] = right[:, 16:48, 44:60] = 180
    metric = FloLPIPS(path, moves_on_the_left, {})
    assert score(metric, clip, left)[0] > 1.5 * score(metric, clip, right)[0] > 0


@pytest.mark.parametrize(
    "degrade, degrees",
    [
        (jittered, (0, 1, 2, 4)),
        (noisy, (0, 4, 16, 48)),
        (blurred, (0.3, 0.6, 1.2, 2.4)),
        (with_dropped_frames, (0, 1, 3)),
    ],
)
def test_it_rises_as_clips_get_worse(shared, metric, degrade, degrees):
    check_rises(metric, real_clip(shared, 8), degrade, degrees)


def test_clips_that_cannot_be_scored(metric, path):
    one = drawn_clip(1)
    assert len(score(metric, one, one)) == 0
    small = drawn_clip(2, 12, 40)
    with pytest.raises(InputError, match="40x12"):
        score(metric, small, small)
    with pytest.raises(InputError, match="not finite"):
        score(FloLPIPS(path, lambda a, b: no_flow(a, b) + np.nan, {}), drawn_clip(2), drawn_clip(2))


def test_what_a_report_says(metric):
    assert metric.about["flow"] == "DIS" and len(metric.about["weights_sha256"]) == 64
    assert metric.network.backbone in metric.about["definition"]


def write_network(path, size, inputs=2, channels=2):
    """A network whose "flow" is the difference of the frames' first channels."""
    import onnx
    from onnx import TensorProto, helper

    def value(name, channels):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, *size])

    def constant(name, *values):
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)

    names = ["first", "second"][:inputs]
    nodes = [
        helper.make_node("Sub", [names[-1], names[0]], ["difference"]),
        helper.make_node("Slice", ["difference", "start", "end", "axis"], ["flow"]),
    ]
    graph = helper.make_graph(
        nodes,
        "flow",
        [value(name, 3) for name in names],
        [value("flow", channels)],
        [constant("start", 0), constant("end", channels), constant("axis", 1)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_a_resized_flow_keeps_its_meaning():
    flow = np.ones((8, 16, 2), np.float32) * (1, -2)
    np.testing.assert_allclose(resize_flow(flow, (32, 32)), np.ones((32, 32, 2)) * (2, -8))
    np.testing.assert_array_equal(resize_flow(flow, (8, 16)), flow)


@needs_onnx
@pytest.mark.parametrize("size, scale", [((16, 32), (2, 4)), ((64, 64), (1, 1)), (("h", "w"), (1, 1))])
def test_a_flow_network_of_any_size_serves_frames_of_any_size(tmp_path, size, scale):
    flow = OnnxFlow(write_network(tmp_path / "flow.onnx", size))
    first, second = np.full((64, 64, 3), 100, np.uint8), np.full((64, 64, 3), 151, np.uint8)
    second[..., 1] = 49
    found = flow(first, second)
    assert found.shape == (64, 64, 2)
    np.testing.assert_allclose(found, np.ones((64, 64, 2)) * (0.4 * scale[0], -0.4 * scale[1]), atol=1e-6)
    assert flow.about["flow_network"] == "flow.onnx" and len(flow.about["flow_network_sha256"]) == 64
    assert flow.about["flow_size"] == ("the frames' size" if size[0] == "h" else f"{size[1]}x{size[0]}")


@needs_onnx
def test_other_networks_and_missing_ones_are_refused(tmp_path):
    for path in (None, tmp_path / "absent.onnx"):
        with pytest.raises(InputError, match=r"tools/export/raft\.py.*--flow_onnx"):
            OnnxFlow(path)
    for wrong in ({"inputs": 1}, {"channels": 3}):
        with pytest.raises(InputError, match="optical flow"):
            OnnxFlow(write_network(tmp_path / "wrong.onnx", (16, 32), **wrong))


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("model", ["large", "small"])
def test_raft_end_to_end(tmp_path, model):
    flags = ("--random_seed", 3, "--model", model, "--height", 128, "--width", 144, "--check", "check.npz")
    done = run(EXPORTER, *flags, "--target", "raft.onnx", cwd=tmp_path)
    assert "checked" in done.stdout
    flow = OnnxFlow(tmp_path / "raft.onnx")
    check = np.load(tmp_path / "check.npz")
    assert np.abs(check["flow"]).max() > 0.1
    np.testing.assert_allclose(flow.network(check["first"], check["second"]), check["flow"], rtol=1e-4, atol=1e-4)
    assert flow.about["flow_model"] == f"torchvision raft_{model}, 12 updates"

    weights = write_random(tmp_path / "alex.safetensors", "alex")
    metric, clip = FloLPIPS(weights, flow, flow.about), drawn_clip(3)
    np.testing.assert_array_equal(score(metric, clip, clip), [0, 0])
    check_rises(metric, clip, jittered, (0, 1, 3))


SAVE = "import torch, torchvision; torch.manual_seed(3); "
SAVE += "torch.save(torchvision.models.optical_flow.raft_small().state_dict(), 'raft.pth')"


@pytest.mark.slow
@needs_torch
def test_raft_takes_a_file_of_its_weights_and_no_other(tmp_path):
    subprocess.run([sys.executable, "-c", SAVE], check=True, timeout=600, cwd=tmp_path)
    size = ("--height", 128, "--width", 128, "--updates", 2)
    for source in (("--weights", "raft.pth"), ("--random_seed", 3)):
        flags = (*source, *size, "--model", "small", "--check", f"{source[1]}.npz")
        run(EXPORTER, *flags, "--target", "x.onnx", cwd=tmp_path)
    flows = [np.load(tmp_path / name)["flow"] for name in ("raft.pth.npz", "3.npz")]
    np.testing.assert_array_equal(*flows)
    done = run(EXPORTER, "--weights", "raft.pth", *size, "--target", "large.onnx", cwd=tmp_path, code=2)
    check_one_line_error(done, "does not fit", "missing")
    assert not (tmp_path / "large.onnx").exists()


@pytest.mark.slow
@needs_torch
def test_the_exporter_refuses_in_one_line_and_writes_nothing(tmp_path):
    (tmp_path / "other.pth").write_bytes(b"nothing")
    cases = {
        ("--weights", "other.pth"): "other.pth",
        ("--random_seed", 1, "--height", 100): "height=100",
    }
    for flags, word in cases.items():
        check_one_line_error(run(EXPORTER, *flags, "--target", "x.onnx", cwd=tmp_path, code=2), word)
    assert not (tmp_path / "x.onnx").exists()
