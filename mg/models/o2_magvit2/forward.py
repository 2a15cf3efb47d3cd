"""The tokenizer as a training step sees it: a clip to everything that losses look at."""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.layers.pad import pad_sides, replicate_pad
from mg.models.tokenizer import Tokenizer


class Forward(nn.Cell):
    """clip -> {"reconstruction", "raw", "codes"} in fp32; the networks compute in the model's type. There is no noise.

    clip, reconstruction: (B, 3, T, H, W) in [-1, 1]. raw: (B, bits, t, h, w); codes: its signs, through which the
    gradient goes as if they were raw (straight-through, arXiv 1308.3432, section 4).
    """

    outputs = ("reconstruction", "raw", "codes")

    def __init__(self, model: Tokenizer):
        super().__init__(auto_prefix=False)  # the networks keep their parameters' names
        self.encoder = model.encoder.set_train()
        self.decoder = model.decoder.set_train()
        self.dtype = model.compute_dtype
        self.filled, self.compression = model.filled, model.space_compression

    def construct(self, clip: Tensor) -> dict[str, Tensor]:
        _, _, frames, height, width = clip.shape
        x = pad_sides(clip, self.compression)
        x = replicate_pad(x, 2, 0, self.filled(frames) - frames)
        raw = self.encoder(x.astype(self.dtype))
        signs = 2.0 * (raw > 0).astype(mstype.float32) - 1.0
        codes = raw + ops.stop_gradient(signs - raw)
        recon = self.decoder(codes.astype(self.dtype))[:, :, :frames, :height, :width]
        return {"reconstruction": recon, "raw": raw, "codes": codes}

    def noise_shapes(self, clip: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The shape of each noise: there is none."""
        return ()
