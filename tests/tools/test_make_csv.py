"""CSV files for a folder: UCF-101's official split, or one by seed."""

import pytest
from calls import call_script
from conftest import check_one_line_error

from mg.data.file_lists import MEDIA, read_csv
from mg.data.split import seeded_split
from mg.errors import InputError


@pytest.fixture
def ucf(tmp_path):
    """A tree like UCF-101's: Class/v_Class_g01_c01.avi, and the first of its official splits."""
    folder, lists = tmp_path / "UCF-101", tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    names = {"train": [], "test": []}
    for label, action in enumerate(("Archery", "YoYo"), 1):
        (folder / action).mkdir(parents=True)
        for group in range(1, 4):
            name = f"{action}/v_{action}_g{group:02}_c01.avi"
            (folder / name).touch()
            names["test" if group == 1 else "train"].append(name + (f" {label}" if group > 1 else ""))
    for part, lines in names.items():
        (lists / f"{part}list01.txt").write_text("\r\n".join(lines) + "\r\n")
    return tmp_path


def make(folder, *more, code=0):
    return call_script(
        "tools/make_csv.py", "--video_folder", "UCF-101", "--output_path", "out", *more, cwd=folder, code=code
    )


def listed(folder):
    return [read_csv(folder / "out" / f"video_{part}.csv", "video", MEDIA) for part in ("train", "test")]


def test_the_official_split_is_written_relative_and_sorted(ucf):
    done = make(ucf, "--split_folder", "ucfTrainTestlist")
    train, test = listed(ucf)
    assert test == ["Archery/v_Archery_g01_c01.avi", "YoYo/v_YoYo_g01_c01.avi"]
    assert len(train) == 4
    assert train == sorted(train)
    assert not set(train) & set(test)
    assert "4 files" in done.stdout
    assert (ucf / "out" / "video_test.csv").read_text().splitlines()[0] == "video"


def test_files_of_the_split_that_are_missing_are_named_or_skipped(ucf):
    (ucf / "UCF-101/YoYo/v_YoYo_g02_c01.avi").unlink()
    done = make(ucf, "--split_folder", "ucfTrainTestlist", code=2)
    check_one_line_error(done, "1 of 4", "YoYo/v_YoYo_g02_c01.avi", "--skip_missing")
    done = make(ucf, "--split_folder", "ucfTrainTestlist", "--skip_missing")
    assert "3 files, 1 missing" in done.stdout
    assert [len(names) for names in listed(ucf)] == [3, 2]


def test_without_a_split_the_seed_decides_and_images_join_by_a_flag(ucf):
    (ucf / "UCF-101" / "picture.png").touch()
    make(ucf, "--test_share", "0.5", "--seed", "3", "--images")
    train, test = listed(ucf)
    assert len(train + test) == 7
    assert "picture.png" in train + test


def test_wrong_folders_are_errors(ucf):
    (ucf / "empty").mkdir()
    check_one_line_error(make(ucf, "--video_folder", "empty", code=2), "empty", "holds no file")
    check_one_line_error(make(ucf, "--split_folder", "empty", code=2), "trainlist01.txt")


def test_a_seeded_split_is_a_function_of_seed_and_names():
    names = [f"{index}.mp4" for index in range(40)]
    train, test = seeded_split(names, 0.1, 0)
    assert (len(train), len(test)) == (36, 4)
    assert sorted(train + test) == sorted(names)
    assert seeded_split(reversed(names), 0.1, 0) == (train, test)
    assert seeded_split(names, 0.1, 1)[1] != test
    assert [len(part) for part in seeded_split(["a.mp4", "b.mp4"], 0.01, 0)] == [1, 1]


def test_what_cannot_be_split_is_refused():
    for names, share in ((["a.mp4"], 0.1), (["a.mp4", "b.mp4"], 0), (["a.mp4", "b.mp4"], 1)):
        with pytest.raises(InputError):
            seeded_split(names, share, 0)
