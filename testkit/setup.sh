#!/usr/bin/env bash
# Makes what a build or a test needs and does nothing where it is there already.
#
#   setup.sh venv DIR REQUIREMENTS [PYTHON]   a virtual environment in DIR with the pinned packages
#   setup.sh wheels DIR PACKAGE PYTHON VERSION ...   one pinned package for each of these Python versions, in DIR/VERSION,
#                                             by the pip of PYTHON
#   setup.sh source DIR PACKAGE PYTHON        the unpacked source distribution of a pinned package, by the pip of PYTHON
#   setup.sh rust                             the toolchain's components and the second target
#   setup.sh apt NAME=PACKAGE ...             Debian packages of missing programs, or of shared libraries (NAME with .so; may be a
#                                             pattern), as root; otherwise says what to install
set -euo pipefail

install() {
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "setup: please install: $*" >&2
        return 1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1 ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null; }
}

present() {
    case $1 in
        *.so*) compgen -G "/usr/lib/$(uname -m)-linux-gnu/$1" >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

apt_() {
    local missing=()
    for pair in "$@"; do
        present "${pair%%=*}" || missing+=("${pair#*=}")
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

wheels() {
    local dir=$1 package=$2 python=$3 have
    shift 3
    have=$(cat "$dir/.ready" 2>/dev/null || true)
    [[ $have == "$package $*" ]] && return
    rm -rf "$dir"
    for version in "$@"; do
        "$python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps \
            --only-binary :all: --python-version "$version" --target "$dir/$version" "$package"
    done
    printf '%s' "$package $*" >"$dir/.ready"
}

source_() {
    local dir=$1 package=$2 python=$3
    [[ $(cat "$dir/.ready" 2>/dev/null) == "$package" ]] && return
    rm -rf "$dir"
    mkdir -p "$dir"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary "${package%%==*}" --dest "$dir" "$package"
    tar -xzf "$dir"/*.tar.gz --strip-components 1 -C "$dir"
    printf '%s' "$package" >"$dir/.ready"
}

rust() {
    command -v rustup >/dev/null || return 0
    rustup show active-toolchain >/dev/null 2>&1 || rustup toolchain install >/dev/null
    rustup component add rustfmt clippy 2>&1 | grep -v "up to date" || true
    rustup target add aarch64-unknown-linux-gnu 2>&1 | grep -v "up to date" || true
}

case ${1:-} in
    venv) shift; venv "$@" ;;
    wheels) shift; wheels "$@" ;;
    source) shift; source_ "$@" ;;
    rust) rust ;;
    apt) shift; apt_ "$@" ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
