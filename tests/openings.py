"""What is opened and decoded: a count of every door through which media files are read."""

from __future__ import annotations

from collections import Counter

import av
import PIL.Image

from mg.io import index, reader


def count_openings(monkeypatch) -> Counter:
    """Counts from now on: "pyav" and "image", files opened; "decoded", pictures summed up; "frames", made RGB."""
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
    monkeypatch.setattr(index, "checksum", counted("decoded", index.checksum))
    monkeypatch.setattr(reader.Shown, "rgb", counted("frames", reader.Shown.rgb))
    monkeypatch.setattr(PIL.Image, "open", counted("image", PIL.Image.open))
    return counts
