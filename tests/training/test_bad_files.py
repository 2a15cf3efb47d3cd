"""A training over a folder with bad files of every kind: each is named once, with its reason, and training goes on."""

import barcode
import numpy as np
import pytest
from media import write_clip
from PIL import Image
from recipes import toy_recipe

from mg.training.loop import train

FRAMES = [barcode.picture(number) for number in range(16)]


def overwritten(path, start, stop):
    """A file with zeros in a part of it, given in shares of its length."""
    content = bytearray(path.read_bytes())
    first, last = (int(share * len(content)) for share in (start, stop))
    content[first:last] = bytes(last - first)
    path.write_bytes(content)


def absurd_count(path):
    """An MP4 whose header counts 3 billion samples, some of which cannot be decoded."""
    content = bytearray(path.read_bytes())
    place = content.index(b"stsz") + 12
    content[place : place + 4] = bytes([219, 0, 0, 0])
    path.write_bytes(content)
    overwritten(path, 0.7, 0.8)


@pytest.fixture
def clips(tmp_path):
    """Good clips and images, and the names of bad ones beside them."""
    folder = tmp_path / "clips"
    for name in ("good.mp4", "cut.mp4", "header.mp4", "hole.mp4", "fine.mkv"):
        write_clip(folder / name, FRAMES)
    for name in ("good.png", "photo.JPG", "cut.jpg", "hole.png"):
        Image.fromarray(FRAMES[3]).save(folder / name)
    for name in ("cut.mp4", "cut.jpg"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-900])
    overwritten(folder / "hole.mp4", 0.5, 0.8)
    overwritten(folder / "hole.png", 0.5, 0.8)
    absurd_count(folder / "header.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.png").write_text("no image")
    (folder / "text.webm").write_text("no video")
    sizes = [
        barcode.write(folder / f"{size}.ts", "h264", frames=[np.zeros((size, size, 3), np.uint8)] * 5)
        for size in (32, 64)
    ]
    (folder / "sizes.mts").write_bytes(b"".join(path.read_bytes() for path in sizes))
    for path in sizes:
        path.unlink()
    return {
        "cut.mp4",
        "header.mp4",
        "hole.mp4",
        "cut.jpg",
        "hole.png",
        "empty.mp4",
        "text.png",
        "text.webm",
        "sizes.mts",
    }


@pytest.mark.slow
def test_every_kind_of_bad_file_is_named_once_and_training_goes_on(tmp_path, clips, caplog):
    folder = tmp_path / "run"
    changes = {"mixed_strategy": "mixed_video_image", "mixed_image_ratio": 0.5, "max_bad_share": 0.9, "max_steps": 24}
    assert train(toy_recipe(tmp_path, **changes, checkpoint_interval=24), folder) == 0
    lines = (folder / "bad_files.txt").read_text().splitlines()
    named = [line.split("\t")[0].rpartition("/")[2] for line in lines]
    assert sorted(named) == sorted(clips)
    warned = [message for message in caplog.messages if "cannot be read, another takes its place" in message]
    assert all(sum(f"/{name}'" in message for message in warned) == 1 for name in clips)
