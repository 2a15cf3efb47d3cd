"""scripts/demo.py as a process of its own, whose connections to other computers are counted."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

from conftest import ROOT

# Runs the script; every name that is looked up and every address that is connected to, but for this computer's, is
# noted in a file. Operators one by one wait for each other, as in conftest.py.
COUNTING = """
import ipaddress, runpy, socket, sys
import mindspore
mindspore.runtime.launch_blocking()
def note(host):
    try:
        mine = host is None or ipaddress.ip_address(host).is_loopback
    except ValueError:
        mine = host in ("localhost", socket.gethostname(), socket.getfqdn())
    if not mine:
        with open(sys.argv[1], "a") as file:
            file.write(f"{host}\\n")
connect, look_up = socket.socket.connect, socket.getaddrinfo
def counted(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        note(address[0])
    return connect(self, address)
def looked_up(host, *more, **others):
    note(host.decode() if isinstance(host, bytes) else host)
    return look_up(host, *more, **others)
socket.socket.connect, socket.getaddrinfo = counted, looked_up
script = sys.argv[2]
sys.argv = sys.argv[2:]
runpy.run_path(script, run_name="__main__")
"""


@contextmanager
def serving(folder, *flags):
    """Run the script on a free port of the loopback; its temporary files go to `folder` / "tmp".

    In the end it must have ended well, logged no traceback, connected to nobody, and left no file.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "outside").touch()
    with open(folder / "log", "w+") as log:
        command = ["-c", COUNTING, folder / "outside", ROOT / "scripts/demo.py", "--port", port, *flags]
        server = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stderr=log,
            stdout=log,
            env={**os.environ, "TMPDIR": str(folder / "tmp"), "GLOG_v": "3"},
        )
        try:
            for _ in range(600):
                if server.poll() is not None or "the page is at" in (folder / "log").read_text():
                    break
                time.sleep(0.1)
            assert server.poll() is None, (folder / "log").read_text()
            yield f"http://127.0.0.1:{port}/"
            assert server.poll() is None
            assert "Traceback" not in (folder / "log").read_text()
            assert (folder / "outside").read_text() == ""
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0
            assert list((folder / "tmp").iterdir()) == []
        finally:
            server.kill()
            server.wait()
