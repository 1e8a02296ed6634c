#!/bin/bash
# Builds the test guest with Debian's kernel for real machines, which has the drivers of the devices that QEMU imitates:
# cache/guest-pc/vmlinuz and initrd.gz, the latter with the same programs as the test guest's.
# usage: build.sh [OUTPUT-FOLDER]
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
exec bash "$here/../guest/build.sh" "${1:-$here/../../cache/guest-pc}" linux-image-amd64
