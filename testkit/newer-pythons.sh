#!/usr/bin/env bash
# Makes a root file system with CPython 3.13 to 3.15 (Debian unstable): interpreters newer than the machine's own, and
# at the same time targets whose files and C library are not the host's, as in a container.
#
#   newer-pythons.sh DIR        does nothing where DIR is complete; takes some minutes and about 1 GB otherwise
#
# Needs root, apt and a Debian mirror; where one is missing it says so and ends with 3, and the tests do without.
set -euo pipefail
root=${1:?usage: newer-pythons.sh DIR}

without() {
    echo "newer-pythons: $*; the tests run on the interpreters of this machine only" >&2
    exit 3
}

mirror() {
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null | head -n 1
}

[[ -e $root/.complete ]] && exit 0
[[ $(id -u) == 0 ]] || without "needs root for a root file system"
"$(dirname "$0")/setup.sh" apt debootstrap=debootstrap || without "needs debootstrap"
from=$(mirror)
[[ -n $from ]] || without "found no Debian mirror"

packages=
for version in 3.13 3.14 3.15; do
    packages+=,python$version,libpython$version-dev
done
mkdir -p "$root"
rm -rf "${root:?}"/*
trap 'umount -q "$root/proc" "$root/sys" 2>/dev/null || true' EXIT # debootstrap leaves them mounted when it is stopped
timeout 600 debootstrap --variant=minbase --include="${packages#,}" sid "$root" "$from" >"${root%/}.log" 2>&1 ||
    without "debootstrap failed ($(tail -n 1 "${root%/}.log"))"
for version in 3.13 3.14 3.15; do
    chroot "$root" "python$version" -c 'import sys; print("newer-pythons:", sys.version)'
done
touch "$root/.complete"
