#!/bin/bash
# What `npm run demo`, `npm test`, `npm run test:fast`, `npm run bench` and `npm run fuzz` do: check what the machine must have,
# install and build what is missing, then the thing itself.
# usage: run.sh demo|test|test-fast|bench|fuzz [ARGUMENT...]
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cd "$here/../.."
# shellcheck source=packaging/setup/requirements.sh
. "$here/requirements.sh"
# shellcheck source=packaging/setup/progress.sh
. "$here/progress.sh"

what=${1:-}
case $what in
demo) needs_lab=yes memory_mib=1800 ;;
# Two Debian guests of 1 GiB.
test) needs_lab=yes memory_mib=3600 ;;
test-fast | fuzz) needs_lab=no memory_mib=0 ;;
# The same, and a third one without protection.
bench) needs_lab=yes memory_mib=4600 ;;
*)
	echo "usage: run.sh demo|test|test-fast|bench|fuzz [ARGUMENT...]" >&2
	exit 2
	;;
esac
shift
fuzzed=""
# The agent's cost needs neither the large guest nor the native measures.
agent=no
[ "$what" != bench ] || [[ " $* " != *" --agent "* ]] || agent=yes
[ "$what" != fuzz ] || fuzzed=$(node "$here/fuzz.mjs" check "$@")

# rustup puts cargo there, and a shell that was open before does not know it.
PATH=$PATH:${HOME:-/root}/.cargo/bin
requirements "$PWD" "$needs_lab" "$memory_mib" >&2 || exit 1

packages=(gcc libc6-dev binutils shellcheck)
if [ "$needs_lab" = yes ]; then
	packages+=(
		qemu-system-x86 seabios busybox-static cpio iproute2 util-linux
		corosync pacemaker pacemaker-cli-utils pacemaker-resource-agents pcs resource-agents libxml2-utils
	)
fi
case $what in
test) packages+=(debootstrap crmsh ovmf groff-base) ;;
bench)
	if [ "$agent" = yes ]; then
		packages+=(libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients)
	else
		packages+=(debootstrap redis-tools wrk)
	fi
	;;
# libFuzzer is C++.
fuzz) packages+=(g++) ;;
esac
mkdir -p cache/logs
case $what in
demo) progress_steps=4 ;;
test) progress_steps=6 ;;
bench) progress_steps=6 ;;
*) progress_steps=3 ;;
esac
[ "$fuzzed" != agent ] || progress_steps=2
[ "$agent" = no ] || progress_steps=4
if [ "$needs_lab" = yes ] || [ "$EUID" = 0 ]; then
	step "Debian packages" cache/logs/packages.log bash "$here/packages.sh" "${packages[@]}"
else
	progress_steps=$((progress_steps - 1))
fi
step "npm packages" cache/logs/npm.log bash "$here/build.sh" modules
if [ "$fuzzed" = agent ]; then
	: # Nothing of the engine.
elif [ "$what" = fuzz ]; then
	step "fuzz targets" cache/logs/fuzz.log bash packaging/build/fuzz.sh
else
	step "engine and agent" cache/logs/build.log bash "$here/build.sh" build
fi
[ "$needs_lab" = no ] || step "guest image" cache/logs/guest.log bash "$here/build.sh" guest
[ "$what" != test ] || step "guest with drivers of real machines" cache/logs/guest-pc.log bash "$here/build.sh" guest-pc
case $what in
test | bench) [ "$agent" = yes ] || step "Debian guest" cache/logs/debian.log bash "$here/build.sh" debian ;;
esac
[ "$what" != bench ] || [ "$agent" = yes ] || step "native measures" cache/logs/measures.log bash "$here/build.sh" measures

case $what in
demo | bench) exec node "$here/bundled.mjs" "$what" "$@" ;;
test) exec node "$here/tests.mjs" all ;;
test-fast) exec node "$here/tests.mjs" fast ;;
fuzz) exec node "$here/fuzz.mjs" run "$@" ;;
esac
