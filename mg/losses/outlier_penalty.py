"""The outlier penalty loss (OPL)."""

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.layers.folds import frames_first, to_frames

_TINY = 1e-20  # keeps the square root's gradient finite where all latents are equal


def outlier_penalty(mean: Tensor, limit: float = 3.0) -> Tensor:
    """By how much latents lie further than `limit` standard deviations from their frame's mean, on average.

    For each latent frame X: 1/(h w) * sum over pixels of max(|X_ij - Mean(X)| - limit * |Std(X)|, 0), with norms over
    channels, Mean and (population) Std over space; then the average over the B*t frames.
    mean: (B, z, t, h, w), the posterior's mean, unscaled.  Returns an fp32 scalar.
    Movie Gen (arXiv 2410.13720), L_OPL, section 3.1.1.
    """
    frames = to_frames(frames_first(mean.astype(mstype.float32)))
    latents = frames.reshape(*frames.shape[:2], -1)
    centred = latents - latents.mean(2, keep_dims=True)
    squares = centred * centred
    distance = ops.sqrt(ops.clamp(squares.sum(1), _TINY))
    spread = ops.sqrt(ops.clamp(squares.mean(2).sum(1, keepdims=True), _TINY))
    return ops.relu(distance - limit * spread).mean()


class OutlierPenalty(nn.Cell):
    """(mean) -> `outlier_penalty` with this limit."""

    def __init__(self, limit: float):
        super().__init__()
        self.limit = limit

    def construct(self, mean: Tensor) -> Tensor:
        return outlier_penalty(mean, self.limit)
