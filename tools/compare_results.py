"""What several models or codecs make of the same clips: a table, and a picture of one frame of each clip.

--results takes names and folders, inflated=results/inflated h264=h264, written by scripts/reconstruct.py (with
--save_videos all, the default) or tools/h264_yardstick.py with the same frames and size. Clips that not all folders
have are left out. "spread" is the difference in PSNR between the best and the worst frame of a latent frame.
Writes <output_path>.md and <output_path>.png.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from itertools import islice
from pathlib import Path

import numpy as np

from mg import cli
from mg.checks import require_whole
from mg.errors import InputError
from mg.files import TogetherWritten, make_folder, require_file
from mg.io.image import read_image, write_image
from mg.io.pictures import grid
from mg.io.video import read_frames
from mg.locks import hold_file

RECONSTRUCTIONS = ("_recon.mp4", "_recon.png", ".mp4")
SIDES = ("_side_by_side.mp4", "_side_by_side.png")


class Results:
    """One folder: its name, figures of its clips, and their frames."""

    def __init__(self, given: str, group: int):
        self.name, separator, folder = given.partition("=")
        if not (self.name and separator and folder):
            raise InputError(f"results={given!r} must be a name and a folder, such as trained=results/trained")
        self.folder = Path(folder)
        path = require_file(self.folder / "metrics.json", "figures of an evaluation")
        try:
            rows = {row["file"]: row for row in json.loads(path.read_text())["clips"]}
            self.frames = {name: int(row["frames"]) for name, row in rows.items()}
            self.rows = {name: {key: float(row[key]) for key in ("psnr", "ssim")} for name, row in rows.items()}
            path = self.folder / "frames.csv"
            for name, spread in self.spreads(path, group).items():
                self.rows[name]["spread"] = spread
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"'{path}' does not have PSNR and SSIM of clips ({type(error).__name__}: {error}); "
                "evaluate them again with --metric psnr ssim"
            ) from None

    def spreads(self, path: Path, group: int) -> dict[str, float]:
        """Of each clip of more than one frame, if there are figures of frames."""
        if not path.is_file():
            return {}
        by_file = {}
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            for row in csv.DictReader(file):
                by_file.setdefault(row["file"], []).append(float(row["psnr"]))
        return {name: spread(np.array(psnr), group) for name, psnr in by_file.items() if len(psnr) > 1}

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


def spread(psnr: np.ndarray, group: int) -> float:
    """Difference in dB between the best and the worst of a latent frame's `group` positions, averaged over the clip."""
    positions = [psnr[place::group].mean() for place in range(min(group, len(psnr)))]
    return float(max(positions) - min(positions))


def frame_of(path: Path, index: int) -> np.ndarray:
    if path.suffix == ".png":
        return read_image(path)
    return deque(islice(read_frames(path), index + 1), maxlen=1).pop()


def table(results: list[Results], names: list[str]) -> str:
    """Markdown: a row for each clip, then means of videos and of images."""
    heads = [f"{of.name}: PSNR | SSIM | spread" for of in results]
    lines = [f"| clip | {' | '.join(heads)} |", "|---" * (1 + 3 * len(results)) + "|"]
    groups = {name: [name] for name in names}
    moving = [name for name in names if results[0].frames[name] > 1]
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
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--results", nargs="+", required=True, help="name=folder, in the order of the table")
    parser.add_argument("--frame", type=int, default=8, help="shown in the picture (default: %(default)s)")
    parser.add_argument("--group", type=int, default=8, help="frames of a latent frame (default: %(default)s)")
    parser.add_argument("--output_path", default="comparison", help="without suffix (default: %(default)s)")
    args = parser.parse_args()
    require_whole("frame", args.frame, 0)
    require_whole("group", args.group, 1)
    make_folder(Path(args.output_path).parent)
    results = [Results(given, args.group) for given in args.results]
    names = [name for name in results[0].rows if all(name in of.rows for of in results)]
    for of in results:
        other = next((name for name in names if of.frames[name] != results[0].frames[name]), None)
        if other is not None:
            raise InputError(
                f"'{of.folder}' has {of.frames[other]} frames of '{other}', but '{results[0].folder}' has "
                f"{results[0].frames[other]}; evaluate both with the same --num_frames"
            )
    if not names:
        raise InputError(f"no clip is in all of {', '.join(str(of.folder) for of in results)}; evaluate the same files")
    text, shown = table(results, names), picture(results, names, args.frame)
    paths = [Path(f"{args.output_path}{suffix}") for suffix in (".md", ".png")]
    with hold_file(paths[0]), hold_file(paths[1]), TogetherWritten() as written:
        written.part(paths[0]).write_text(text + "\n")
        write_image(written.part(paths[1]), shown)
    print(text)


if __name__ == "__main__":
    cli.run_script(main)
