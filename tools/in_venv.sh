#!/usr/bin/env bash
# Run a command in this repository's virtual environment; make the environment first if it is not there or outdated.
#
#     tools/in_venv.sh python scripts/inference_tae.py
#
# MG_VENV   where the environment lives (default: .venv in the repository)
# PYTHON    the interpreter to build it with (default: the first of python3.11, 3.12, 3.10, 3.9, python3 that fits)
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
venv=${MG_VENV:-$root/.venv}

fits() { "$1" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 13))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3.9 python3}; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "error: MindSpore needs Python 3.9 to 3.12, and none was found; install one or name it: PYTHON=/path/to/python" >&2
    exit 2
}

# Debian and Ubuntu ship Python without venv, and OpenCV needs two system libraries.
install_system_packages() {
    python=$1
    missing=()
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
    ldconfig -p 2>/dev/null | grep -q 'libGL\.so\.1' || missing+=(libgl1)
    ldconfig -p 2>/dev/null | grep -q 'libgthread-2\.0\.so\.0' || missing+=(libglib2.0-0)
    [ ${#missing[@]} -eq 0 ] && return
    as_root=$([ "$(id -u)" -eq 0 ] || echo sudo)
    if ! command -v apt-get >/dev/null || { [ -n "$as_root" ] && ! command -v sudo >/dev/null; }; then
        echo "error: install these system packages first: ${missing[*]}" >&2
        exit 2
    fi
    echo "installing system packages: ${missing[*]}" >&2
    $as_root apt-get update -qq >&2
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >&2
}

stamp=$(cd "$root" && cat requirements.txt pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$venv/.installed" 2>/dev/null)" != "$stamp" ]; then
    python=$(find_python)
    install_system_packages "$python"
    echo "installing into $venv (about 3 GB, most of it MindSpore)" >&2
    "$python" -m venv "$venv"
    # An older pip cannot install this folder in place.
    "$venv/bin/python" -m pip install --quiet --upgrade 'pip>=21.3' >&2
    (cd "$root" && "$venv/bin/python" -m pip install --quiet -r requirements.txt -e '.[test]') >&2
    echo "$stamp" > "$venv/.installed"
fi

PATH="$venv/bin:$PATH" exec "$@"
