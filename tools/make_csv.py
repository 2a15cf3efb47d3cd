"""Write video_train.csv and video_test.csv for a folder of videos: its official split (UCF-101), or a random one."""

import argparse
from pathlib import Path

from mg import cli
from mg.data import split
from mg.data.file_lists import MEDIA, scan_folder
from mg.files import make_folder
from mg.io import video
from mg.locks import hold_file


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--video_folder", required=True, help="the folder to which the names will be relative")
    parser.add_argument("--output_path", help="the folder for the two files (default: video_folder)")
    parser.add_argument("--images", action="store_true", help="list images too")
    parser.add_argument("--split_folder", help="UCF-101's ucfTrainTestlist, with trainlist01.txt and testlist01.txt")
    parser.add_argument("--split", type=int, default=1, choices=(1, 2, 3), help="which of them (default: %(default)s)")
    parser.add_argument("--skip_missing", action="store_true", help="leave out files of the split that are not there")
    parser.add_argument("--test_share", type=float, default=0.1, help="without a split (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="without a split (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    folder = Path(args.video_folder)
    suffixes = MEDIA if args.images else video.SUFFIXES
    names = [path.relative_to(folder).as_posix() for path in scan_folder(folder, "video_folder", suffixes)]
    if args.split_folder is None:
        parts = split.seeded_split(names, args.test_share, args.seed)
    else:
        parts = split.official_split(args.split_folder, args.split)
    output = make_folder(folder if args.output_path is None else args.output_path)
    kept = [split.keep_present(part, names, args.skip_missing) for part in parts]
    for kind, listed, part in zip(("train", "test"), kept, parts):
        target = output / f"video_{kind}.csv"
        with hold_file(target):
            split.write_csv(target, listed)
        print(
            f"{kind:5} {target}: {len(listed)} files" + f", {len(set(part)) - len(listed)} missing" * args.skip_missing
        )


if __name__ == "__main__":
    cli.run_script(main)
