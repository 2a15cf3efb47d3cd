"""Requests that no visitor of the page makes, over real HTTP: each is refused in a line, and nothing comes of it."""

import http.client
import json
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from media import save_nano
from serving import serving

from mg.demo.door import Hosts
from mg.demo.one_thread import Job, OneThread
from mg.errors import InputError
from mg.io.image import write_image

MEGABYTE = 1_000_000
REST = (64, 9, "mean", False, 32, 0, 32, 16, 256, 64)  # of a call, after the file


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A server: its address, and its folder."""
    pytest.importorskip("gradio", reason="Gradio is not installed; pip install -e '.[demo]', on Python 3.10 or later")
    folder = tmp_path_factory.mktemp("server")
    weights = save_nano(folder / "nano.safetensors")
    with serving(folder, "--ckpt_path", weights, "--max_frames", 9, "--max_side", 64, "--max_megabytes", 1) as url:
        yield urlsplit(url).netloc, folder


@pytest.fixture
def send(page):
    """Send a request: (status, body)."""

    def send(method, path, body=None, headers=()):
        connection = http.client.HTTPConnection(page[0], timeout=20)
        connection.request(method, path, body, {"Content-Type": "application/json", **dict(headers)})
        answer = connection.getresponse()
        return answer.status, answer.read(MEGABYTE).decode(errors="replace")

    return send


@pytest.fixture
def upload(send):
    def upload(content, name="a.png", **headers):
        line = f'Content-Disposition: form-data; name="files"; filename="{name}"'
        body = f"--x\r\n{line}\r\nContent-Type: image/png\r\n\r\n".encode() + content + b"\r\n--x--\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        return send("POST", "/gradio_api/upload", body, {**kind, **headers})

    return upload


def kept(page):
    return sum(path.stat().st_size for path in (page[1] / "tmp").rglob("*") if path.is_file())


def call(file, **more):
    return json.dumps({"data": [file, *REST], "fn_index": 2, "session_hash": "me", **more})


def check_refused(answer, code=400):
    status, body = answer
    assert status == code and len(body) < 300 and "Traceback" not in body, answer
    return json.loads(body)["detail"]


def file_of(path, url=None):
    return {"path": path, "url": url, "orig_name": "a.mp4", "meta": {"_type": "gradio.FileData"}}


FILES = [
    file_of("http://93.184.216.34/huge.bin", "http://93.184.216.34/huge.bin"),
    file_of("https://example.org/clip.mp4"),
    file_of("/etc/passwd"),
    file_of("/etc/passwd", "http://127.0.0.1:1/"),
    file_of("upload/guessed/a.png"),
    file_of(5),
    file_of(""),
    {"path": None},
    "http://93.184.216.34/huge.bin",
    [],
]


def test_nothing_is_fetched_and_nothing_opened_that_was_not_uploaded(send, page):
    before = kept(page)
    for file in FILES:
        assert "uploaded here" in check_refused(send("POST", "/gradio_api/queue/join", call(file))), file
        body = json.dumps({"data": [file, *REST]})
        assert "uploaded here" in check_refused(send("POST", "/gradio_api/call/reconstruct", body)), file
    for path in ("proxy=http://93.184.216.34/x", "file=http://93.184.216.34/x", "file=/etc/passwd", "file=upload/x/y"):
        status, body = send("GET", f"/gradio_api/{path}")
        assert status in (400, 404) and "root:" not in body
    assert kept(page) == before
    assert (page[1] / "outside").read_text() == ""


def test_what_a_visitor_has_sent_is_known_to_no_other(send, upload, page):
    status, body = upload(b"secret" * 10)
    (name,) = json.loads(body)
    assert status == 200 and name.startswith("upload/") and str(page[1]) not in body
    assert send("GET", f"/gradio_api/file={name}") == (200, "secret" * 10)
    real = next(path for path in (page[1] / "tmp").rglob("a.png") if path.read_bytes().startswith(b"secret"))
    assert "uploaded here" in check_refused(send("POST", "/gradio_api/queue/join", call(file_of(str(real)))))


BAD_CALLS = [
    *(call(None, fn_index=number) for number in (99, -1, "2", 1.0, None, True)),
    *(call(None, session_hash=name) for name in (None, "", "a b", "x" * 100, 5)),
    *(call(None, data=data) for data in (None, [], [None], [None] * 11, {}, "text")),
    json.dumps({"data": [None, *REST[:-1], 1e300], "fn_index": 2, "session_hash": "me"}),
    json.dumps({"data": [None, 63, *REST[1:]], "fn_index": 2, "session_hash": "me"}),
    json.dumps({"data": [None, 64, 10, *REST[2:]], "fn_index": 2, "session_hash": "me"}),
    json.dumps({"data": [None, 64, 9, ["mean"], *REST[3:]], "fn_index": 2, "session_hash": "me"}),
    *("", "null", "[]", "{", '{"data": ' + "[" * 30000, "\x00"),
]


def test_calls_that_cannot_be_done_get_a_short_answer(send, upload):
    for body in BAD_CALLS:
        check_refused(send("POST", "/gradio_api/queue/join", body))
    check_refused(send("POST", "/gradio_api/call/nothing", '{"data": []}'))
    assert "Traceback" not in upload(b"content", name="")[1]
    for body in (b"", b"--x--\r\n", b"no form"):
        status, answer = send("POST", "/gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=x"})
        assert status == 400 and len(answer) < 300
    for method, path in (("POST", "/gradio_api/run/reconstruct"), ("POST", "/gradio_api/vibe-edit"), ("PUT", "/")):
        check_refused(send(method, path, "{}"), 404)
    assert send("POST", "/gradio_api/cancel", "{}")[0] == 422


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info"])
def test_the_page_is_there_under_its_own_name_alone(send, page, path):
    port = page[0].partition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert send("GET", path, headers={"Host": host, "Origin": f"http://{host}"})[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", f"localhost.evil.example:{port}", ""):
        check_refused(send("GET", path, headers={"Host": host}), 403)


def test_other_pages_send_nothing(send, upload, page):
    before = kept(page)
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"http://{page[0]}.evil.example"):
        assert "other pages" in check_refused(upload(b"fill the disk" * 100, Origin=origin), 403)
        assert "other pages" in check_refused(
            send("POST", "/gradio_api/queue/join", call(None), headers={"Origin": origin}), 403
        )
    check_refused(upload(b"fill the disk", **{"Sec-Fetch-Site": "cross-site"}), 403)
    assert kept(page) == before


def test_what_is_kept_is_bounded(send, upload, page):
    check_refused(upload(bytes(2 * MEGABYTE)), 413)
    check_refused(send("POST", "/gradio_api/queue/join", bytes(100_000)), 413)
    check_refused(send("POST", "/gradio_api/upload", iter([b"x"] * 10), {"Transfer-Encoding": "chunked"}), 411)
    codes = [upload(np.random.default_rng(seed).bytes(900_000))[0] for seed in range(15)]
    assert codes[0] == 200 and codes[-1] == 507
    assert kept(page) < 11 * MEGABYTE


def test_which_names_are_ours():
    here = Hosts("0.0.0.0", 80, ("page.example",))
    for name in ("127.0.0.1", "localhost", "192.168.0.7:80", "[::1]:80", "page.example", "page.example:8443"):
        assert here.knows(name), name
    for name in ("evil.example", "192.168.0.7:81", "", "a b", "page.example.evil", "[::1"):
        assert not here.knows(name), name


def test_one_visitor_does_not_take_all_places_and_waiting_can_be_stopped():
    line, outcomes = OneThread(most=4, most_each=2), {}

    def ask(name, visitor):
        try:
            outcomes[name] = line.do(lambda job: name, Job(visitor, session=name))
        except InputError as error:
            outcomes[name] = str(error)

    def start(*asked):
        threads = [threading.Thread(target=ask, args=one) for one in asked]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        return threads

    waiting = start(("a", "greedy"), ("b", "greedy"), ("c", "greedy"), ("d", "other"), ("e", "third"), ("f", "fourth"))
    assert "your runs" in outcomes["c"] and "waiting already" in outcomes["f"]
    line.stop("b")
    waiting[1].join(5)
    assert outcomes["b"] == "stopped"
    worker = threading.Thread(target=line.work, daemon=True)
    worker.start()
    for thread in waiting:
        thread.join(5)
    assert (outcomes["a"], outcomes["d"], outcomes["e"]) == ("a", "d", "e")


@pytest.mark.slow
def test_waiting_for_visitors_costs_next_to_nothing(page, send):
    assert send("GET", "/")[0] == 200
    names = Path("/proc").glob("[0-9]*/cmdline")
    server = next(name.parent for name in names if str(page[1] / "outside").encode() in name.read_bytes())

    def ticks():
        user, system = (server / "stat").read_text().split()[13:15]
        return int(user) + int(system)

    before = ticks()
    time.sleep(20)
    assert ticks() - before < 40  # hundredths of a second: 2 % of a core


def test_a_run_can_be_stopped_while_it_is_at_work():
    line, started = OneThread(), threading.Event()

    def endless(job):
        started.set()
        while True:
            job.check()
            time.sleep(0.01)

    threading.Thread(target=line.work, daemon=True).start()
    threading.Thread(target=lambda: (started.wait(5), line.stop("mine"))).start()
    with pytest.raises(InputError, match="stopped"):
        line.do(endless, Job("me", "mine"))


@pytest.mark.slow
def test_a_picture_goes_through_after_all_that(send, upload, tmp_path, page):
    write_image(tmp_path / "a.png", np.zeros((32, 32, 3), np.uint8))
    for path in (page[1] / "tmp").rglob("a.png"):
        path.unlink()
    status, body = upload((tmp_path / "a.png").read_bytes())
    assert status == 200
    call = json.dumps({"data": [file_of(json.loads(body)[0]), *REST]})
    status, body = send("POST", "/gradio_api/call/reconstruct", call)
    assert status == 200
    status, events = send("GET", f"/gradio_api/call/reconstruct/{json.loads(body)['event_id']}")
    assert "event: complete" in events and '"psnr"' in events
