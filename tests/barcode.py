"""Clips whose pictures show their own number as a bar of blocks, in any container, by any codec."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH = 96, 160
COLOURS = ((200, 60, 50), (60, 170, 70), (50, 80, 200), (210, 190, 60), (180, 80, 170))
COLOURS += ((70, 180, 190), (230, 230, 230), (40, 40, 40), (200, 120, 40), (120, 120, 120))
# How a codec is asked for pictures that are made of later ones, for groups that lean on the one before, or for neither.
GROUPS = ("b_frames", "open", "plain")
_X264 = {"b_frames": "open-gop=0:bframes=3:b-adapt=0", "open": "open-gop=1:bframes=3:b-adapt=0", "plain": "bframes=0"}
_X264 = {kind: f"keyint=12:min-keyint=12:scenecut=0:{rest}" for kind, rest in _X264.items()}
_MPEG = {"b_frames": {"bf": "2", "flags": "+cgop"}, "open": {"bf": "2"}, "plain": {"bf": "0"}}
CODECS = {
    "h264": ("libx264", {kind: {"x264-params": text, "crf": "18"} for kind, text in _X264.items()}),
    "hevc": ("libx265", {kind: {"x265-params": f"{text}:log-level=none", "crf": "18"} for kind, text in _X264.items()}),
    "mpeg4": (
        "mpeg4",
        {kind: {"g": "12", "bf": bf, "qscale": "3"} for kind, bf in (("b_frames", "2"), ("plain", "0"))},
    ),
    "mpeg2": ("mpeg2video", {kind: {"g": "12", "sc_threshold": "1000000000", **_MPEG[kind]} for kind in GROUPS}),
    "vp8": ("libvpx", {"b_frames": {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "8"}, "plain": {"g": "12"}}),
    "vp9": ("libvpx-vp9", {"b_frames": {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "8"}, "plain": {"g": "12"}}),
    "av1": ("libsvtav1", {"b_frames": {"g": "12", "preset": "12"}}),
    "mjpeg": ("mjpeg", {"plain": {"qscale": "3"}}),
    "wmv2": ("wmv2", {"plain": {"g": "12", "qscale": "3"}}),
    "flv1": ("flv", {"plain": {"g": "12", "qscale": "3"}}),
}


def picture(number: int) -> np.ndarray:
    """(96, 160, 3) uint8: white, eight bits of the number, black; blocks of fixed colours; a ramp that moves."""
    levels = [235, *(235 if number >> bit & 1 else 20 for bit in range(7, -1, -1)), 20]
    frame = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    frame[:32] = np.repeat(levels, 16)[None, :, None]
    frame[32:80] = np.repeat(np.array(COLOURS, np.uint8), 16, 0)[None]
    frame[80:] = ((np.arange(WIDTH) + 3 * number) % WIDTH * 1.5).astype(np.uint8)[None, :, None]
    return frame


def numbers(frames: Iterable[np.ndarray]) -> list[int]:
    """What frames of any size show."""
    shown = []
    for frame in frames:
        height, width, _ = frame.shape
        middles = [round((block + 0.5) * width / 10) for block in range(10)]
        bar = frame[height // 12 : height // 4, middles].mean((0, 2))
        assert bar[0] > 160 and bar[-1] < 90, f"there is no bar: {bar.round()}"
        shown.append(sum(int(level > 127) << 7 - place for place, level in enumerate(bar[1:-1])))
    return shown


def give_up_real_time() -> None:
    """Let all threads be scheduled as others are: run by root, SVT-AV1 makes the one that calls it a real-time thread,
    which on few cores waits for ever for threads that it keeps from running."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setscheduler(int(thread), os.SCHED_OTHER, os.sched_param(0))


def write(
    path: Path,
    codec: str,
    group: str = "plain",
    frames: Sequence[np.ndarray] = (),
    times: Iterable[int] | None = None,
    **settings: object,
) -> Path:
    """A clip of 48 pictures, or of `frames`, 24 a second, or at `times` in milliseconds. settings: of the stream.

    No file holds a random name, so that each is the same whenever it is written.
    """
    encoder, groups = CODECS[codec]
    frames = frames or [picture(number) for number in range(48)]
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(encoder, rate=24, options=groups[group])
        stream.height, stream.width, _ = frames[0].shape
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        clock = Fraction(1, 24)
        if times is not None:
            clock = stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for frame, time in zip(frames, count() if times is None else times):
            coded = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=stream.pix_fmt)
            coded.pts, coded.time_base = time, clock
            container.mux(stream.encode(coded))
            if codec == "av1":
                give_up_real_time()
        container.mux(stream.encode(None))
    return path
