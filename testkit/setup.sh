#!/usr/bin/env bash
# Makes what a build or a test needs and does nothing where it is there already.
#
#   setup.sh venv DIR REQUIREMENTS [PYTHON]   a virtual environment in DIR with the pinned packages
#   setup.sh rust                             the toolchain's components and the second target
#   setup.sh apt PROGRAM=PACKAGE ...          Debian packages of missing programs (as root; otherwise says what to install)
set -euo pipefail

install() {
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "setup: please install: $*" >&2
        return 1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1 ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null; }
}

apt_() {
    local missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    ((${#missing[@]} == 0)) || install "${missing[@]}"
}

venv() {
    local dir=$1 requirements=$2 python=${3:-python3} want
    want=$("$python" -V; cat "$(dirname "$requirements")"/requirements*.txt)
    [[ -f $dir/.ready && $(cat "$dir/.ready") == "$want" ]] && return
    rm -rf "$dir"
    "$python" -c 'import ensurepip' 2>/dev/null || install python3-venv
    "$python" -m venv "$dir"
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r "$requirements"
    printf '%s' "$want" >"$dir/.ready"
}

rust() {
    command -v rustup >/dev/null || return 0
    rustup show active-toolchain >/dev/null 2>&1 || rustup toolchain install >/dev/null
    rustup component add rustfmt clippy 2>&1 | grep -v "up to date" || true
    rustup target add aarch64-unknown-linux-gnu 2>&1 | grep -v "up to date" || true
}

case ${1:-} in
    venv) shift; venv "$@" ;;
    rust) rust ;;
    apt) shift; apt_ "$@" ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
