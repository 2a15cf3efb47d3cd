"""The shipped model's recipe takes the very steps that it took when the model was trained."""

import json
import os
from pathlib import Path

import mindspore as ms
import pytest
from conftest import ROOT, run

RECORDED = json.loads(Path(__file__).with_name("tiny_first_steps.json").read_text())
FOLDER = ROOT / "configs" / "tae" / "train" / "tiny"


@pytest.mark.slow
def test_the_first_steps_have_the_recorded_losses_bit_for_bit(shared, tmp_path):
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    machine = {"mindspore": ms.__version__, "cpu": cpu, "threads": os.cpu_count()}
    recorded = {key: RECORDED[key] for key in machine}
    if machine != recorded:
        pytest.skip(f"recorded with {recorded}, but this is {machine}, where the last bits may differ")
    start, data = tmp_path / "start.safetensors", shared / "data"
    source = ("--src", shared / "weights" / "vae2d_tiny", "--target", start, "--dtype", "fp16", "--omit_identity")
    run("tools/inflate_vae_to_tae.py", *source, cwd=ROOT)
    files = ["--video_folder", data, "--csv_path", FOLDER / "videos.csv"]
    files += ["--image_folder", data, "--image_csv_path", FOLDER / "images.csv"]
    flags = ["--config", FOLDER / "video.yaml", "--ckpt_path", start, "--output_path", tmp_path / "run"]
    flags += ["--max_steps", "51"]  # one more than the warm-up, after which the rate depends on how many there are
    run("scripts/train_tae.py", *flags, *files, cwd=ROOT)
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["total"] for row in log if "total" in row][:50] == RECORDED["losses"]
