"""The distance of logits: what a classifier says of frames that are resized as Pillow does."""

import mindcv
import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from mindspore import dtype as mstype
from PIL import Image

from mg.errors import InputError
from mg.models.o2_magvit2.classifier import LogitsDistance, Resize

NETWORK = "squeezenet1_0"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A classifier with random weights, and its file."""
    path = tmp_path_factory.mktemp("classifier") / "network.ckpt"
    ms.set_seed(0)
    network = mindcv.create_model(NETWORK).set_train(False)
    ms.save_checkpoint(network, str(path))
    return network, path


def by_pillow(frames: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) -> (N, 3, 224, 224)."""
    channels = [Image.fromarray(channel).resize((224, 224), Image.BILINEAR) for channel in np.concatenate(frames)]
    return np.stack([np.asarray(channel) for channel in channels]).reshape(len(frames), 3, 224, 224)


@pytest.mark.parametrize("size", [(300, 517), (64, 48), (224, 224), (17, 448)])
def test_frames_are_resized_without_aliases(size):
    frames = np.random.default_rng(0).uniform(-1, 1, (2, 3, *size)).astype(np.float32)
    np.testing.assert_allclose(Resize()(Tensor(frames)).asnumpy(), by_pillow(frames), rtol=0, atol=1e-5)


def test_value_and_gradient(stored):
    network, path = stored
    rng = np.random.default_rng(0)
    clip = rng.uniform(-1, 1, (1, 3, 2, 32, 48)).astype(np.float32)
    recon = (clip + 0.3 * rng.standard_normal(clip.shape)).astype(np.float32)

    def logits(x: np.ndarray) -> np.ndarray:
        frames = (by_pillow(x[0].transpose(1, 0, 2, 3)) + 1) / 2
        mean, deviation = (np.float32(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return network(Tensor(((frames - mean) / deviation).astype(np.float32))).asnumpy()

    distance = LogitsDistance(NETWORK, str(path), mstype.float32)
    assert not distance.trainable_params()
    value, gradient = ms.value_and_grad(distance, 1)(Tensor(clip), Tensor(recon))
    assert value.asnumpy() == pytest.approx(((logits(recon) - logits(clip)) ** 2).mean(), rel=1e-3)
    direction = gradient.asnumpy() / np.linalg.norm(gradient.asnumpy())
    step = 1e-2
    ahead, behind = (distance(Tensor(clip), Tensor(recon + sign * step * direction)).asnumpy() for sign in (1, -1))
    assert (ahead - behind) / (2 * step) == pytest.approx(np.linalg.norm(gradient.asnumpy()), rel=0.02)


def test_what_is_no_classifier_is_said(stored, tmp_path):
    _, path = stored
    with pytest.raises(InputError, match="no classifier; give logits_ckpt"):
        LogitsDistance(NETWORK, None, mstype.float32)
    with pytest.raises(InputError, match="logits_network=resnet_9 is no network of mindcv"):
        LogitsDistance("resnet_9", str(path), mstype.float32)
    with pytest.raises(InputError, match=r"network\.ckpt"):
        LogitsDistance("resnet18", str(path), mstype.float32)
    with pytest.raises(InputError, match=r"none\.ckpt"):
        LogitsDistance(NETWORK, str(tmp_path / "none.ckpt"), mstype.float32)
