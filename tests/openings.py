"""What is opened and decoded: a count of every door through which media files are read."""

from __future__ import annotations

from collections import Counter

import av
import PIL.Image

from mg.io import by_number, video


def count_openings(monkeypatch) -> Counter:
    """Counts from now on: "pyav", "decord" and "image", files opened; "frames", pictures decoded by PyAV and decord."""
    counts = Counter()

    def counted(name, function):
        def call(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    opened = av.open

    def open_to_read(file, mode="r", **kwargs):
        counts["pyav"] += mode == "r"
        return opened(file, mode, **kwargs)

    monkeypatch.setattr(av, "open", open_to_read)
    monkeypatch.setattr(video, "_upright_rgb", counted("frames", video._upright_rgb))
    monkeypatch.setattr(PIL.Image, "open", counted("image", PIL.Image.open))
    if by_number._decord() is not None:
        monkeypatch.setattr(by_number._decord(), "VideoReader", _counting_reader(counts, by_number._decord()))
    return counts


def _counting_reader(counts: Counter, decord):
    class Reader(decord.VideoReader):
        def __init__(self, *args, **kwargs):
            counts["decord"] += 1
            super().__init__(*args, **kwargs)

        def get_batch(self, indices):
            counts["frames"] += len(indices)
            return super().get_batch(indices)

        def __getitem__(self, index):
            counts["frames"] += 1
            return super().__getitem__(index)

    return Reader
