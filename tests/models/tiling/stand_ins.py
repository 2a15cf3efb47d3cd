"""Codecs without a receptive field, and clips whose pixels tell where they belong: tiled must equal untiled exactly."""

import numpy as np


class MeanCodec:
    """Averages blocks of `time` x `space` x `space`, and repeats them back; counts the tiles it is given."""

    time_modes = ("blend", "restart")

    def __init__(self, time=8, space=8):
        self.time_compression, self.space_compression = time, space
        self.shapes = []

    def window_latents(self, frames):
        return -(-frames // self.time_compression)

    def window_frames(self, latent_frames):
        return latent_frames * self.time_compression

    def filled(self, frames):
        return frames

    def encode_tile(self, clip, state=None, reference=None):
        self.shapes.append(clip.shape)
        missing = -clip.shape[2] % self.time_compression
        clip = np.concatenate([clip] + [clip[:, :, -1:]] * missing, 2)
        b, c, t, h, w = clip.shape
        n, s = self.time_compression, self.space_compression
        return clip.reshape(b, c, t // n, n, h // s, s, w // s, s).mean((3, 5, 7)), None

    def decode_tile(self, latents, frames, state=None, reference=None):
        self.shapes.append(latents.shape)
        s = self.space_compression
        return latents.repeat(self.time_compression, 2).repeat(s, 3).repeat(s, 4), None


class CausalCodec(MeanCodec):
    """1 + 4n frames: the first alone, then running sums over the whole past, four frames to a latent."""

    time_modes = ("carry", "restart", "blend")

    def __init__(self):
        super().__init__(4, 8)

    def window_latents(self, frames):
        return min(frames, 1) + -(-max(frames - 1, 0) // 4)

    def window_frames(self, latent_frames):
        return max(0, 4 * latent_frames - 3)

    def encode_tile(self, clip, state=None, reference=None):
        self.shapes.append(clip.shape)
        missing = -(clip.shape[2] - (state is None)) % 4
        sums = np.cumsum(np.concatenate([clip] + [clip[:, :, -1:]] * missing, 2), 2) + (0 if state is None else state)
        return sums[:, :, (0 if state is None else 3) :: 4, ::8, ::8], sums[:, :, -1:]

    def decode_tile(self, latents, frames, state=None, reference=None):
        self.shapes.append(latents.shape)
        sums = np.cumsum(latents, 2) + (0 if state is None else state)
        return sums.repeat(4, 2)[:, :, 3 if state is None else 0 :].repeat(8, 3).repeat(8, 4), sums[:, :, -1:]


def index_clip(frames, height=16, width=16):
    """Every pixel of frame t is t; rows and columns add a little of their own number."""
    t, y, x = np.ogrid[:frames, :height, :width]
    clip = (t + y / 1000 + x / 10000).astype(np.float32)
    return np.stack([clip, -clip, 2 * clip])[None]


def pieces(clip, lengths):
    """`clip` cut into pieces of the lengths, over and over."""
    start, index = 0, 0
    while start < clip.shape[2]:
        yield clip[:, :, start : start + lengths[index % len(lengths)]]
        start += lengths[index % len(lengths)]
        index += 1


def whole(stream):
    return np.concatenate(list(stream), 2)
