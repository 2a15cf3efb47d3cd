import pytest

from mg.errors import InputError
from mg.io.media import find_media


def test_folders_are_searched_below_and_results_left_out(tmp_path):
    for name in ("b.mp4", "a.PNG", "notes.txt", "sub/c.gif", "out/d.mp4", ".hidden.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_media(tmp_path, leave_out=tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.PNG", "b.mp4", "sub/c.gif"]
    assert find_media(tmp_path / "b.mp4", leave_out=tmp_path) == [tmp_path / "b.mp4"]


def test_nothing_to_find_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no file or folder"):
        find_media(tmp_path / "none", tmp_path)
    for wrong in (tmp_path, tmp_path.parent):
        with pytest.raises(InputError, match="name another output folder"):
            find_media(tmp_path, wrong)
    with pytest.raises(InputError, match="holds no media"):
        find_media(tmp_path, tmp_path / "out")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"suffix '\.txt'"):
        find_media(tmp_path / "notes.txt", tmp_path)
