"""Which files a CSV or a folder gives; what is wrong with a CSV."""

import pytest

from mg.data.config import DataConfig
from mg.data.file_lists import find_files
from mg.errors import InputError
from mg.inference.clips import find_sources


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.mp4", "b/1.AVI", "a/3.webm", "a/4.png", "a/.hidden.mp4", "a/notes.txt"):
        (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "v" / name).touch()
    (tmp_path / "v" / "folder.mp4").mkdir()
    return tmp_path / "v"


def names(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def from_csv(folder, content, **config):
    path = folder.parent / "clips.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return find_files(DataConfig(csv_path=str(path), video_folder=str(folder), **config))


def test_a_folder_is_searched_and_sorted(folder):
    files = find_files(DataConfig(video_folder=folder))
    assert names(files.videos, folder) == ["a/3.webm", "b/1.AVI", "b/2.mp4"]
    assert names(files.images, folder) == ["a/4.png"]


def test_a_csv_keeps_its_order_and_may_hold_images_absolute_paths_and_more_columns(folder):
    absolute = folder / "b/2.mp4"
    content = f"\ufeffcaption, video ,x\n'a', b/1.AVI ,1\nb,{absolute},2\n\nc,a/4.png\nd,\"gone, but listed.mp4\",3\n"
    files = from_csv(folder, content)
    assert names(files.videos, folder) == ["b/1.AVI", "b/2.mp4", "gone, but listed.mp4"]
    assert names(files.images, folder) == ["a/4.png"]


@pytest.mark.parametrize(
    "content, words",
    [
        ("", ["empty"]),
        ("video\n", ["no row below"]),
        ("name,caption\na.mp4,x\n", ["no column 'video'", "name, caption"]),
        ("\nvideo\na.mp4\n", ["no column 'video'", "empty first line"]),
        ("video,n\na.mp4,1\n,2\nb.mp4,3\n,4\n", ["line 3, 5"]),
        ("n,video\n1,a.mp4\n2\n", ["line 3"]),
        ("video\na.mp4\nb\0.mp4\n", ["clips.csv"]),  # Python's reader refuses it itself before 3.11
        ("video\n" + "x\n" * 9, ["line 2, 3, 4, 5, 6 and 4 more"]),
        (b"video\n\xff\xfe.mp4\n", ["UTF-8"]),
        ('video\n"a.mp4\nb.mp4\n', ["no CSV"]),
    ],
)
def test_faults_of_a_csv_are_named(folder, content, words):
    with pytest.raises(InputError) as error:
        from_csv(folder, content)
    for word in ["clips.csv", *words]:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_folders_and_files_are_errors(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for config, words in (
        (DataConfig(video_folder=tmp_path / "gone"), "video_folder="),
        (DataConfig(video_folder=tmp_path / "gone", csv_path=tmp_path / "x.csv"), "video_folder="),
        (DataConfig(video_folder=folder, csv_path=tmp_path / "gone.csv"), "gone.csv"),
        (DataConfig(video_folder=folder, image_folder=tmp_path / "gone"), "image_folder="),
        (DataConfig(video_folder=tmp_path / "empty"), "holds no file"),
        (DataConfig(video_folder=folder, image_folder=folder / "b"), "holds no file"),
    ):
        with pytest.raises(InputError, match=words):
            find_files(config)
    with pytest.raises(InputError, match="has no video"):
        from_csv(folder, "video\na/4.png\n")


def test_image_files_have_a_folder_and_a_csv_of_their_own(folder, tmp_path):
    (tmp_path / "i").mkdir()
    for name in ("1.jpg", "2.jpg", "moving.gif"):
        (tmp_path / "i" / name).touch()
    config = {"video_folder": folder, "image_folder": tmp_path / "i"}
    assert [path.name for path in find_files(DataConfig(**config)).images] == ["4.png", "1.jpg", "2.jpg"]
    (tmp_path / "i.csv").write_text("image\n2.jpg\n")
    listed = find_files(DataConfig(**config, image_csv_path=tmp_path / "i.csv"))
    assert [path.name for path in listed.images] == ["4.png", "2.jpg"]
    assert "moving.gif" not in [path.name for path in listed.videos]


def test_a_strategy_leaves_out_what_it_never_reads(folder):
    counts = {}
    for strategy in ("mixed_video_image", "video_only", "image_only"):
        files = find_files(DataConfig(video_folder=folder, mixed_strategy=strategy))
        counts[strategy] = len(files.videos), len(files.images)
    assert counts == {"mixed_video_image": (3, 1), "video_only": (3, 0), "image_only": (0, 1)}
    only_videos = find_files(DataConfig(video_folder=folder / "b", mixed_strategy="image_only"))
    assert len(only_videos.videos) == 2


@pytest.mark.parametrize("name", ["../b.mp4", "x/../../b.mp4", "/elsewhere/b.mp4"])
def test_training_and_inference_refuse_the_same_paths(tmp_path, name):
    (tmp_path / "v").mkdir()
    (tmp_path / "list.csv").write_text(f"video\n{name}\n")
    config = DataConfig(csv_path=str(tmp_path / "list.csv"), video_folder=str(tmp_path / "v"))
    for find in (
        lambda: find_files(config),
        lambda: find_sources(tmp_path / "out", csv_path=config.csv_path, video_folder=config.video_folder),
    ):
        with pytest.raises(InputError, match="is not below"):
            find()


def test_training_and_inference_take_absolute_paths_below_the_folder(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "list.csv").write_text(f"video\n{tmp_path}/v/a.mp4\n")
    config = DataConfig(csv_path=str(tmp_path / "list.csv"), video_folder=str(tmp_path / "v"))
    (source,) = find_sources(tmp_path / "out", csv_path=config.csv_path, video_folder=config.video_folder)
    assert find_files(config).videos == (source.path,) and source.name == "a.mp4"
