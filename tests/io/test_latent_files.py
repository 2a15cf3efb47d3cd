"""Files of latents: what is written comes back; what is not ours, or not whole, is refused."""

import json
from dataclasses import asdict, replace
from fractions import Fraction

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from mg.errors import InputError
from mg.io.latent_index import find_latents, read_index, write_index
from mg.io.latents import Header, Latents, read_header, read_latents, read_plain, write_latents

HEADER = Header(
    kind="posterior",
    dtype="fp32",
    frames=17,
    height=20,
    width=31,
    fps="30000/1001",
    source="a/b.mp4",
    tiles=None,
    options={"num_frames": None},
    weights_sha256="ab" * 32,
    scaling_factor=1.5,
    shift_factor=0.06,
)
SHAPE = (4, 3, 3, 4)


def posterior(**changes):
    rng = np.random.default_rng(0)
    mean, std = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    return Latents(replace(HEADER, **changes), {"mean": mean, "std": np.abs(std)})


def test_fp32_comes_back_exactly_and_safetensors_reads_it(tmp_path):
    path, latents = tmp_path / "sub" / "a.safetensors", posterior()
    write_latents(path, latents)
    back = read_latents(path)
    assert back.header == HEADER
    assert read_header(path) == (HEADER, SHAPE)
    with safe_open(path, "numpy") as file:
        assert set(file.metadata()) == {"mg"}
        for name in ("mean", "std"):
            np.testing.assert_array_equal(back.arrays[name], latents.arrays[name])
            np.testing.assert_array_equal(file.get_tensor(name), latents.arrays[name])
    assert [item.name for item in (tmp_path / "sub").iterdir()] == ["a.safetensors"]


def write_by_hand(path, header, arrays, **metadata):
    """As versions that know of one model wrote them, without a library."""
    stored, content = {}, b""
    for name, (dtype, array) in arrays.items():
        place = [len(content), len(content) + array.nbytes]
        stored[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": place}
        content += array.tobytes()
    text = json.dumps({"family": "latents", **header}, sort_keys=True)
    head = json.dumps({"__metadata__": {"mg": text, **metadata}, **stored}).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + content)


def fields_before():
    header = asdict(HEADER)
    del header["model"], header["times"], header["vocabulary"]
    return header


def test_times_of_a_clip_whose_rate_varies_come_back(tmp_path):
    times = tuple(Fraction(number * number, 30) for number in range(18))
    write_latents(tmp_path / "a.safetensors", posterior(times=times))
    assert read_header(tmp_path / "a.safetensors")[0].times == times


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_files_of_before_are_read(tmp_path, dtype):
    path, latents = tmp_path / "a.safetensors", posterior()
    arrays = {name: ("F32", array) for name, array in latents.arrays.items()}
    if dtype == "bf16":
        bits = {name: array.view(np.uint32) >> 16 for name, (_, array) in arrays.items()}
        arrays = {name: ("BF16", value.astype(np.uint16)) for name, value in bits.items()}
        latents = Latents(HEADER, {name: (value << 16).view(np.float32) for name, value in bits.items()})
    write_by_hand(path, {**fields_before(), "dtype": dtype}, arrays)
    back = read_latents(path)
    assert back.header == replace(HEADER, dtype=dtype) and back.header.model is None
    for name, array in latents.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)


def test_files_for_versions_before_have_the_header_that_these_know(tmp_path):
    path = tmp_path / "a.safetensors"
    write_latents(path, posterior(model="tae"))
    with safe_open(path, "numpy") as file:
        assert set(file.metadata()) == {"mg", "model"}
        assert json.loads(file.metadata()["mg"]) == {"family": "latents", **fields_before()}
    assert read_header(path)[0].model == "tae"


def test_files_of_a_later_version_are_refused(tmp_path):
    arrays = {name: ("F32", array) for name, array in posterior().arrays.items()}
    write_by_hand(tmp_path / "a.safetensors", {**fields_before(), "gain": 2}, arrays)
    with pytest.raises(InputError, match=r"unknown \['gain'\]"):
        read_latents(tmp_path / "a.safetensors")


def test_factors_may_be_of_each_channel(tmp_path):
    path = tmp_path / "a.safetensors"
    factors = {"scaling_factor": [1.5, 2.0, 0.5, 1.0], "shift_factor": (0.0, 0.25, -1.0, 3.0)}
    write_latents(path, posterior(**factors))
    header, _ = read_header(path)
    assert (header.scaling_factor, header.shift_factor) == ([1.5, 2.0, 0.5, 1.0], [0.0, 0.25, -1.0, 3.0])
    assert replace(HEADER, scaling_factor=[1.5], shift_factor=(0.06,)) == HEADER
    with pytest.raises(InputError, match="4 channels, but 3 numbers of shift_factor"):
        write_latents(path, posterior(shift_factor=[0.0, 1.0, 2.0]))
    assert read_header(path)[0] == header


def test_fp16_is_numpys(tmp_path):
    latents = posterior(dtype="fp16")
    write_latents(tmp_path / "a.safetensors", latents)
    mean = read_latents(tmp_path / "a.safetensors").arrays["mean"]
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean, latents.arrays["mean"].astype(np.float16).astype(np.float32))


def test_bf16_is_rounded_to_nearest_even(tmp_path):
    import mindspore as ms

    values = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    values.ravel()[:5] = [1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 1e-40, 0]
    write_latents(tmp_path / "a.safetensors", Latents(replace(HEADER, kind="sample", dtype="bf16"), {"z": values}))
    z = read_latents(tmp_path / "a.safetensors").arrays["z"]
    assert z.ravel()[:3].tolist() == [1, 1 + 2**-6, -1]
    np.testing.assert_array_equal(z.ravel()[5:], ms.Tensor(values).astype(ms.bfloat16).float().asnumpy().ravel()[5:])
    with safe_open(tmp_path / "a.safetensors", "numpy") as file:
        assert file.get_slice("z").get_dtype() == "BF16"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
def test_codes_stay_integers(tmp_path, dtype):
    codes = np.arange(np.prod(SHAPE), dtype=dtype).reshape(SHAPE)
    write_latents(tmp_path / "a.safetensors", Latents(replace(HEADER, kind="codes", dtype=dtype), {"codes": codes}))
    back = read_latents(tmp_path / "a.safetensors").arrays["codes"]
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, codes)


@pytest.mark.parametrize("dtype, value", [("fp32", np.nan), ("fp16", 7e4), ("bf16", 3.4e38), ("bf16", np.nan)])
def test_what_is_not_finite_is_not_written(tmp_path, dtype, value):
    latents = posterior(dtype=dtype)
    latents.arrays["std"][0, 0, 0, 0] = value
    with pytest.raises(InputError, match=f"std is not finite in {dtype}"):
        write_latents(tmp_path / "a.safetensors", latents)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"mean": np.zeros(SHAPE, np.float32)}, "kind posterior is mean and std"),
        ({"mean": np.zeros(SHAPE, np.float32), "std": np.zeros((4, 3, 3, 5), np.float32)}, "must be the same"),
        ({"mean": np.zeros((4, 3), np.float32), "std": np.zeros((4, 3), np.float32)}, "must be the same"),
        ({"mean": np.zeros(SHAPE), "std": np.zeros(SHAPE)}, "mean is float64"),
    ],
)
def test_arrays_must_fit_the_header(tmp_path, arrays, words):
    with pytest.raises(InputError, match=words):
        write_latents(tmp_path / "a.safetensors", Latents(HEADER, arrays))


@pytest.mark.parametrize(
    "changes",
    [{"kind": "mean"}, {"dtype": "int8"}, {"frames": 0}, {"fps": None}, {"fps": "1/0"}, {"scaling_factor": 0}]
    + [
        {"scaling_factor": [1.0, 0]},
        {"shift_factor": []},
        {"shift_factor": "1"},
        {"shift_factor": [np.inf]},
        {"model": ""},
        {"times": (0, 1)},
        {"times": (0,) * 18},
        {"vocabulary": 64},
        {"vocabulary": 1, "kind": "codes", "dtype": "int32"},
        {"vocabulary": "64", "kind": "codes", "dtype": "int32"},
    ],
)
def test_headers_are_checked(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))}="):
        replace(HEADER, **changes)


def test_how_many_codes_there_are_comes_back(tmp_path):
    header, codes = replace(HEADER, kind="codes", dtype="int32", vocabulary=2**18), np.ones(SHAPE, np.int32)
    write_latents(tmp_path / "a.safetensors", Latents(header, {"codes": codes}))
    assert read_header(tmp_path / "a.safetensors")[0] == header


@pytest.mark.parametrize("kept", [0, 5, 8, 100, -1])
def test_truncated_files_are_refused(tmp_path, kept):
    path = tmp_path / "a.safetensors"
    write_latents(path, posterior())
    path.write_bytes(path.read_bytes()[:kept])
    for read in (read_latents, read_header):
        with pytest.raises(InputError, match=r"empty|damaged"):
            read(path)


def test_wrong_shapes_in_the_container_are_damage(tmp_path):
    path = tmp_path / "a.safetensors"
    write_latents(path, posterior())
    content = path.read_bytes()
    shape = b"[4,3,3,4]"
    assert shape in content
    for wrong in (b"[4,-3,-3,4]", b"[4,3,3,4.0]", b"[4,3,3,5]"):
        changed = content.replace(shape, wrong)
        grown = len(changed) - len(content)
        length = int.from_bytes(content[:8], "little") + grown
        path.write_bytes(length.to_bytes(8, "little") + changed[8:])
        with pytest.raises(InputError, match="damaged"):
            read_latents(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(InputError, match="no file"):
        read_latents(path)
    path.write_text("only text, and rather more than eight bytes of it")
    with pytest.raises(InputError, match="damaged"):
        read_latents(path)
    arrays = {"z": np.ones(SHAPE, np.float16)}
    save_file(arrays, path)
    with pytest.raises(InputError, match="no header"):
        read_latents(path)
    np.testing.assert_array_equal(read_plain(path)["z"], np.ones(SHAPE, np.float32))
    save_file({"z": np.ones(SHAPE, bool)}, path)
    with pytest.raises(InputError, match="z is BOOL"):
        read_plain(path)
    for header, words in [
        ("[]", "no mapping"),
        ('{"family": "tae"}', "'tae', not latents"),
        ('{"family": "latents", "kind": "sample"}', "lacks"),
    ]:
        save_file(arrays, path, {"mg": header})
        with pytest.raises(InputError, match=words):
            read_latents(path)


def test_stored_types_and_shapes_must_be_the_headers(tmp_path):
    path = tmp_path / "a.safetensors"
    write_latents(path, posterior())
    with safe_open(path, "numpy") as file:
        text = file.metadata()["mg"]
    for arrays, words in [
        ({"mean": np.zeros(SHAPE, np.float16), "std": np.zeros(SHAPE, np.float16)}, "header says fp32"),
        ({"mean": np.zeros(SHAPE, np.float32)}, "is mean and std"),
        ({name: np.full(SHAPE, np.nan, np.float32) for name in ("mean", "std")}, "not finite"),
    ]:
        save_file(arrays, path, {"mg": text})
        with pytest.raises(InputError, match=words):
            read_latents(path)


def test_an_index_lists_what_is_there(tmp_path):
    with pytest.raises(InputError, match="holds no latents"):
        find_latents(tmp_path)
    for name in ("b", "sub/a", ".hidden.part"):
        write_latents(tmp_path / f"{name}.safetensors", posterior(source=f"{name}.mp4"))
    with pytest.raises(InputError, match="index"):
        read_index(tmp_path)
    rows = write_index(tmp_path)
    assert rows == read_index(tmp_path)
    assert [row["file"] for row in rows] == ["b.safetensors", "sub/a.safetensors"]
    size = {"frames": 17, "height": 20, "width": 31, "fps": "30000/1001"}
    assert rows[1] == {
        "file": "sub/a.safetensors",
        "source": "sub/a.mp4",
        "shape": list(SHAPE),
        **size,
        "weights_sha256": rows[0]["weights_sha256"],
    }
    (tmp_path / "index.json").write_text(json.dumps({"clips": []}))
    with pytest.raises(InputError, match="no index"):
        read_index(tmp_path)


def test_equal_latents_are_equal_files(tmp_path):
    arrays = {name: np.ones((4, 1, 2, 2), np.float32) for name in ("mean", "std")}
    header = Header("posterior", "fp32", 1, 16, 16, "24", "a.mp4", None, {}, "ab", 1.0, 0.0, "some_family")
    for number in range(20):
        write_latents(tmp_path / f"{number}.safetensors", Latents(header, arrays))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    read = read_latents(tmp_path / "0.safetensors")
    assert read.header == header
    np.testing.assert_array_equal(read.arrays["mean"], arrays["mean"])


def test_a_foreign_file_in_a_cache_is_named_and_left_out_of_its_index(tmp_path, caplog):
    write_latents(tmp_path / "a.safetensors", posterior())
    save_file({"x": np.zeros(1, np.float32)}, str(tmp_path / "foreign.safetensors"))
    (tmp_path / "damaged.safetensors").write_bytes(b"no tensors")
    assert [row["file"] for row in write_index(tmp_path)] == ["a.safetensors"]
    assert [row["file"] for row in read_index(tmp_path)] == ["a.safetensors"]
    assert len(caplog.messages) == 2
    assert all(name in caplog.text for name in ("foreign.safetensors", "damaged.safetensors"))
