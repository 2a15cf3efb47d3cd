#!/usr/bin/env bash
# Run a command in this repository's virtual environment; make the environment first if it is not there or outdated.
#
#     tools/in_venv.sh python scripts/inference_tae.py
#
# MG_VENV   where the environment lives (default: .venv in the repository)
# PYTHON    the interpreter to build it with (default: the first of python3.11, 3.12, 3.10, 3.9, python3 that fits)
set -euo pipefail

if [ $# -eq 0 ]; then
    echo "error: no command; for example: tools/in_venv.sh python scripts/inference_tae.py" >&2
    exit 2
fi
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
venv=$(realpath -m "${MG_VENV:-$root/.venv}")

find_python() {
    candidates=(python3.11 python3.12 python3.10 python3.9 python3)
    [ -n "${PYTHON:-}" ] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: MindSpore needs Python 3.9 to 3.12, and ${PYTHON:-none was found that} is not; set PYTHON to one" >&2
    exit 2
}

# Debian and Ubuntu ship Python without venv, and OpenCV needs two system libraries.
install_system_packages() {
    missing=()
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$1" -c 'import ensurepip, venv' 2>/dev/null || missing+=("python$version-venv")
    "$1" -c 'import ctypes; ctypes.CDLL("libGL.so.1")' 2>/dev/null || missing+=(libgl1)
    "$1" -c 'import ctypes; ctypes.CDLL("libgthread-2.0.so.0")' 2>/dev/null || missing+=(libglib2.0-0)
    [ ${#missing[@]} -eq 0 ] && return
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    if ! command -v apt-get >/dev/null || { [ ${#as_root[@]} -gt 0 ] && ! command -v sudo >/dev/null; }; then
        echo "error: install these system packages first: ${missing[*]}" >&2
        exit 2
    fi
    echo "installing system packages: ${missing[*]}" >&2
    "${as_root[@]}" apt-get update -qq >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >&2
}

# Newer MindSpore may not use AVX512 because of a fault in oneDNN 3, and is slower where there is one; faster elsewhere.
range=
if grep -qm1 avx512f /proc/cpuinfo 2>/dev/null; then range='mindspore<2.9'; fi

stamp="$root ${PYTHON:-} $range $(cat "$root/requirements.txt" "$root/pyproject.toml" | sha256sum)"
if [ "$(cat "$venv/.installed" 2>/dev/null)" != "$stamp" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    python=$(find_python)
    install_system_packages "$python"
    echo "installing into $venv: 3 GB, most of it MindSpore; this takes some minutes" >&2
    "$python" -m venv --clear "$venv"
    # An older pip cannot install this folder in place.
    "$venv/bin/python" -m pip install --quiet --upgrade 'pip>=21.3' >&2
    (cd "$root" && "$venv/bin/python" -m pip install ${range:+"$range"} -r requirements.txt -e '.[test,metrics,demo]') >&2
    echo "$stamp" > "$venv/.installed"
fi

PATH="$venv/bin:$PATH" exec "$@"
