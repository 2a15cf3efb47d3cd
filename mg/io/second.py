"""Another decoder for what the first one makes of damage without a word."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np

# FFmpeg's own decoder of VP8 reads on behind the end of what is there, partly what happens to be in memory.
_OTHERS = {"vp8": "libvpx"}


class Second:
    """Decodes what another decoder did, if there is a second one for it: pictures of VP8 are the same to the last bit.

    decoder: FFmpeg's name of the first one.
    """

    def __init__(self, decoder: str):
        self._context = None
        if decoder in _OTHERS and _OTHERS[decoder] in av.codecs_available:
            self._context = av.CodecContext.create(_OTHERS[decoder], "r")
            self._context.thread_count = 1

    def objection(self, packet: av.Packet, pictures: Sequence[av.VideoFrame]) -> str | None:
        """What is wrong with the pictures that the first one made of a packet, None for nothing."""
        if self._context is None or packet.size == 0:
            return None
        try:
            others = self._context.decode(packet)
        except Exception as error:  # PyAV raises FFmpeg's errors and, for odd files, nearly any of Python's
            return f"a second decoder: {getattr(error, 'strerror', None) or type(error).__name__}"
        same = len(others) == len(pictures) and all(map(_equal, pictures, others))
        return None if same else "two decoders do not agree"


def _equal(picture: av.VideoFrame, other: av.VideoFrame) -> bool:
    """Whether the planes of the first, 8 bits each, are those of the other."""
    return len(picture.planes) <= len(other.planes) and all(
        np.array_equal(*map(_content, planes)) for planes in zip(picture.planes, other.planes)
    )


def _content(plane: av.video.plane.VideoPlane) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
