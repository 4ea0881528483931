#!/usr/bin/env bash
# Runs a command in another root file system, with /proc, and with this project at /mnt, in a mount namespace of its own:
#
#   inside.sh ROOT COMMAND ...      e.g. inside.sh target/newer-pythons python3.15 /mnt/benches/overhead/overhead.py ...
set -euo pipefail
root=${1:?usage: inside.sh ROOT COMMAND ...}
shift
here=$(cd "$(dirname "$0")/../.." && pwd)
exec unshare --mount bash -c '
    root=$1 here=$2
    shift 2
    mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" && mount --bind "$here" "$root/mnt" || exit 2
    exec chroot "$root" "$@"' inside "$root" "$here" "$@"
