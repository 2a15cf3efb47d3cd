"""The recipe of the small model takes the very steps that were recorded."""

import hashlib
import json
import os
from importlib import metadata
from pathlib import Path

import pytest
from conftest import ROOT, run

RECORD = Path(__file__).with_name("tiny_first_steps.json")
FOLDER = ROOT / "configs" / "tae" / "train" / "tiny"
PACKAGES = ("mindspore", "numpy", "opencv-python", "av", "pillow")


def machine():
    """What the last bits depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    flags = next((line for line in lines if line.startswith("flags")), "")
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {"threads": os.cpu_count(), "cpu flags": hashlib.sha256(flags.encode()).hexdigest()[:16], **versions}


@pytest.mark.slow
def test_the_first_steps_have_the_recorded_losses_bit_for_bit(shared, tmp_path):
    records, here = json.loads(RECORD.read_text()), machine()
    recorded = next((record["losses"] for record in records if record["machine"] == here), None)
    if recorded is None:
        machines = " and with ".join(str(record["machine"]) for record in records)
        pytest.skip(f"recorded with {machines}; here is {here}, and the last bits may differ")
    start, data = tmp_path / "start.safetensors", shared / "data"
    source = ("--src", shared / "weights" / "vae2d_tiny", "--target", start, "--dtype", "fp16", "--omit_identity")
    run("tools/inflate_vae_to_tae.py", *source, cwd=ROOT)
    files = ["--video_folder", data, "--csv_path", FOLDER / "videos.csv"]
    files += ["--image_folder", data, "--image_csv_path", FOLDER / "images.csv"]
    flags = ["--config", FOLDER / "video.yaml", "--ckpt_path", start, "--output_path", tmp_path / "run"]
    flags += ["--max_steps", "51"]  # one more than the warm-up, after which the rate depends on how many there are
    run("scripts/train_tae.py", *flags, *files, cwd=ROOT)
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["total"] for row in log if "total" in row][:50] == recorded
