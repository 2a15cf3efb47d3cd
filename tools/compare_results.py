"""What several models or codecs make of the same clips: a table, and a picture of one frame of each clip.

--results takes names and folders, inflated=results/inflated h264=h264, written by scripts/inference_tae.py (with
--save_videos all, the default) or tools/h264_yardstick.py with the same frames and size. Clips that not all folders
have are left out. "spread" is the difference in PSNR between the best and the worst of the 8 frames of a latent frame.
Writes <output_path>.md and <output_path>.png.
"""

from __future__ import annotations

import argparse
import csv
import json
from itertools import islice
from pathlib import Path

import numpy as np

from mg import runtime
from mg.checks import require_whole
from mg.errors import InputError
from mg.files import make_folder, require_file, whole_file
from mg.io.image import read_image, write_image
from mg.io.pictures import grid
from mg.io.video import read_frames
from mg.models.tae.config import TAEConfig

GROUP = TAEConfig().compression
RECONSTRUCTIONS = ("_recon.mp4", "_recon.png", ".mp4")
SIDES = ("_side_by_side.mp4", "_side_by_side.png")


class Results:
    """One folder: its name, figures of its clips, and their frames."""

    def __init__(self, given: str):
        self.name, separator, folder = given.partition("=")
        if not (self.name and separator and folder):
            raise InputError(f"results={given!r} must be a name and a folder, such as trained=results/trained")
        self.folder = Path(folder)
        path = require_file(self.folder / "metrics.json", "figures of an evaluation")
        try:
            rows = json.loads(path.read_text())["clips"]
            self.rows = {row["file"]: {"psnr": float(row["psnr"]), "ssim": float(row["ssim"])} for row in rows}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"'{path}' has no PSNR and SSIM of clips ({type(error).__name__}: {error})") from None
        for name, spread in self.spreads().items():
            self.rows[name]["spread"] = spread

    def spreads(self) -> dict[str, float]:
        """Of each clip of more than one frame, if the folder has figures of frames."""
        path = self.folder / "frames.csv"
        if not path.is_file():
            return {}
        by_file = {}
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                by_file.setdefault(row["file"], []).append(float(row["psnr"]))
        return {name: spread(np.array(psnr)) for name, psnr in by_file.items() if len(psnr) > 1}

    def frame(self, name: str, index: int) -> np.ndarray:
        """Frame `index` of what the folder has of a clip, or the last one before it."""
        path = self.find(name, RECONSTRUCTIONS)
        if path is None:
            raise InputError(f"'{self.folder}' has no reconstruction of '{name}'; run it with --save_videos all")
        return frame_of(path, index)

    def original(self, name: str, index: int) -> np.ndarray | None:
        """The left third of the frame side by side, if the folder has it."""
        path = self.find(name, SIDES)
        if path is None:
            return None
        sides = frame_of(path, index)
        return sides[:, : sides.shape[1] // 3]

    def find(self, name: str, endings: tuple[str, ...]) -> Path | None:
        """The file of a clip with one of the endings; a clip keeps its suffix where two would share a name."""
        for stem in (Path(name).with_suffix(""), Path(name)):
            for ending in endings:
                path = self.folder / stem.with_name(stem.name + ending)
                if path.is_file():
                    return path
        return None


def spread(psnr: np.ndarray) -> float:
    """Difference in dB between the best and the worst position of a latent frame, each averaged over the clip."""
    positions = [psnr[place::GROUP].mean() for place in range(min(GROUP, len(psnr)))]
    return float(max(positions) - min(positions))


def frame_of(path: Path, index: int) -> np.ndarray:
    if path.suffix == ".png":
        return read_image(path)
    frames = list(islice(read_frames(path), index + 1))
    return frames[-1]


def table(results: list[Results], names: list[str]) -> str:
    """Markdown: a row for each clip, then means of videos and of images."""
    heads = [f"{of.name}: PSNR | SSIM | spread" for of in results]
    lines = [f"| clip | {' | '.join(heads)} |", "|---" * (1 + 3 * len(results)) + "|"]
    groups = {name: [name] for name in names}
    moving = [name for name in names if any("spread" in of.rows[name] for of in results)]
    for title, members in (("videos", moving), ("images", [name for name in names if name not in moving])):
        if members:
            groups[f"**mean of {len(members)} {title}**"] = members
    for title, members in groups.items():
        cells = [cell for of in results for cell in figures([of.rows[name] for name in members])]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figures(rows: list[dict[str, float]]) -> list[str]:
    """PSNR, SSIM and spread, averaged over clips."""
    spreads = [row["spread"] for row in rows if "spread" in row]
    means = [np.mean([row[key] for row in rows]) for key in ("psnr", "ssim")]
    return [f"{means[0]:.2f}", f"{means[1]:.4f}", f"{np.mean(spreads):.2f}" if spreads else "-"]


def picture(results: list[Results], names: list[str], index: int) -> np.ndarray:
    """A column for each clip: the original, then what each folder has of the same frame."""
    columns = []
    for name in names:
        originals = [frame for frame in (of.original(name, index) for of in results) if frame is not None]
        if not originals:
            raise InputError(f"no folder has '{name}' side by side with its original; run one with --save_videos all")
        columns.append([originals[0], *(of.frame(name, index) for of in results)])
    labels = [Path(name).name for name in names]
    return grid(f"frame {index}", labels, columns, ["original", *(of.name for of in results)])


def main() -> None:
    parser = runtime.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", nargs="+", required=True, help="name=folder, in the order of the table")
    parser.add_argument("--frame", type=int, default=GROUP, help="shown in the picture (default: %(default)s)")
    parser.add_argument("--output_path", default="comparison", help="without suffix (default: %(default)s)")
    args = parser.parse_args()
    require_whole("frame", args.frame, 0)
    make_folder(Path(args.output_path).parent)
    results = [Results(given) for given in args.results]
    names = [name for name in results[0].rows if all(name in of.rows for of in results)]
    if not names:
        raise InputError(f"no clip is in all of {', '.join(str(of.folder) for of in results)}; evaluate the same files")
    text = table(results, names)
    with whole_file(f"{args.output_path}.md") as part:
        part.write_text(text + "\n")
    write_image(f"{args.output_path}.png", picture(results, names, args.frame))
    print(text)


if __name__ == "__main__":
    runtime.run_script(main)
