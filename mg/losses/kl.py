"""The distance of the posterior from the standard normal distribution."""

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype


def kl(mean: Tensor, logvar: Tensor, time_compression: int) -> Tensor:
    """KL divergence of N(mean, exp(logvar)) from N(0, I), summed over a clip's latents, for each frame they stand for.

    Divided by B * time_compression * t, so that a latent element weighs the same in an image (t = 1) as in a clip;
    dividing by the B * T frames that were given would weigh an image's `time_compression` times as much.
    mean, logvar: (B, z, t, h, w), log-variance already clamped.  Returns an fp32 scalar.
    Closed form: Kingma and Welling (arXiv 1312.6114), appendix B.
    """
    mean, logvar = mean.astype(mstype.float32), logvar.astype(mstype.float32)
    batch, _, frames, _, _ = mean.shape
    elements = 0.5 * (mean * mean + ops.exp(logvar) - 1.0 - logvar)
    return elements.sum() / (batch * time_compression * frames)


class KL(nn.Cell):
    """(mean, logvar) -> `kl` for a model of this time compression."""

    def __init__(self, time_compression: int):
        super().__init__()
        self.time_compression = time_compression

    def construct(self, mean: Tensor, logvar: Tensor) -> Tensor:
        return kl(mean, logvar, self.time_compression)
