"""PyTorch's files without PyTorch: both formats, and files that want more than to be read."""

import os
import pickle

import numpy as np
import pytest
from torch_writer import Laid, write_archive, write_stream

from mg.errors import InputError
from mg.models import torch_file

WRITERS = {"archive": write_archive, "stream": write_stream}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def test_types_strides_and_shared_storages(tmp_path, write):
    base = np.arange(24, dtype=np.float32) - 7.25
    state = {
        "plain": Laid(base, (2, 3, 4), (12, 4, 1)),
        "transposed": Laid(base, (4, 3), (1, 4), offset=12),
        "double": Laid(base.astype(np.float64), (24,), (1,)),
        "half": Laid(base.astype(np.float16), (24,), (1,)),
        "bfloat": Laid((base.view(np.uint32) >> 16).astype(np.uint16), (24,), (1,)),
        "scalar": Laid(base, (), ()),
    }
    write(tmp_path / "x.pth", state)
    read = torch_file.read(tmp_path / "x.pth")
    assert list(read) == list(state) and all(array.dtype == np.float32 for array in read.values())
    np.testing.assert_array_equal(read["plain"], base.reshape(2, 3, 4))
    np.testing.assert_array_equal(read["transposed"], base[12:].reshape(3, 4).T)
    for name in ("double", "half", "bfloat"):  # quarters below 32 are exact in all of them
        np.testing.assert_array_equal(read[name], base)
    assert read["scalar"] == base[0]


def test_the_published_heads(shared):
    heads, expected = torch_file.read(shared / "data/lpips/vgg.pth"), np.load(shared / "data/lpips/vgg.npz")
    assert len(heads) == 5
    for number in range(5):
        np.testing.assert_array_equal(
            heads[f"lin{number}.model.1.weight"].ravel(), expected[f"lin{number}"], err_msg=str(number)
        )


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [os.mkdir, eval, pickle.loads, getattr])
def test_a_pickle_that_calls_functions_is_refused_and_calls_nothing(tmp_path, write, function):
    arguments = {
        os.mkdir: (str(tmp_path / "harm"),),
        eval: (f"__import__('os').mkdir({str(tmp_path / 'harm')!r})",),
        pickle.loads: (pickle.dumps(Call(os.mkdir, str(tmp_path / "harm"))),),
        getattr: ("", "join"),
    }[function]
    write(tmp_path / "x.pth", {"features.0.weight": Call(function, *arguments)})
    with pytest.raises(InputError, match=rf"refused: it asks for \w+\.{function.__name__}"):
        torch_file.read(tmp_path / "x.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "laid",
    [
        Laid(np.zeros(4, np.float32), (5,), (1,)),
        Laid(np.zeros(4, np.float32), (4,), (1,), offset=1),
        Laid(np.zeros(4, np.float32), (2, 2), (1 << 40, 1)),
        Laid(np.zeros(4, np.float32), (4,), (-1,)),
        Laid(np.zeros(4, np.float32), (1 << 40,), (0,)),
    ],
)
def test_a_tensor_never_reaches_outside_its_storage(tmp_path, write, laid):
    write(tmp_path / "x.pth", {"a": laid})
    with pytest.raises(InputError):
        torch_file.read(tmp_path / "x.pth")


@pytest.mark.parametrize("state, reason", [([1, 2], "holds a list"), ({"epoch": 3}, "no named tensors")])
def test_what_is_no_state_dict_is_refused(tmp_path, write, state, reason):
    write(tmp_path / "x.pth", state)
    with pytest.raises(InputError, match=reason):
        torch_file.read(tmp_path / "x.pth")


def test_whole_numbers_beside_weights_are_left_out(tmp_path, write):
    state = {"count": Laid(np.full(1, 7, np.int64), (), ()), "weight": Laid(np.ones(4, np.float32), (4,), (1,))}
    write(tmp_path / "x.pth", state)
    read = torch_file.read(tmp_path / "x.pth")
    assert list(read) == ["weight"] and read["weight"].sum() == 4


def test_every_truncation_is_an_input_error(tmp_path, write):
    write(tmp_path / "whole.pth", {"a": Laid(np.ones(4, np.float32), (4,), (1,))})
    whole = (tmp_path / "whole.pth").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "x.pth").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"x\.pth"):
            torch_file.read(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"\x80", b"not a pickle", b"\x80\x02K\x01." * 5, bytes(100)])
def test_garbage_is_an_input_error(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.pth"):
        torch_file.read(tmp_path / "x.pth")
