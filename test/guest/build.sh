#!/bin/bash
# Builds the test guest: cache/guest/vmlinuz (Debian's cloud kernel, unpacked, never installed) and
# cache/guest/initrd.gz (busybox, the modules of its devices and the power button, init, the
# service, the clock watcher). Does nothing when the inputs have not changed.
# usage: build.sh [OUTPUT-FOLDER [KERNEL-METAPACKAGE]]
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
output=${1:-$here/../../cache/guest}
metapackage=${2:-linux-image-cloud-amd64}
# In the order in which they can be inserted.
modules=(
	virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net e1000
	rng-core virtio-rng button evdev
)

say() { echo "guest: $*" >&2; }

key=$( (echo "$metapackage" && cat "$here/build.sh" "$here/init" "$here"/*.[ch] "$here"/clock/*.c) | sha256sum | cut -d' ' -f1)
if [ -s "$output/vmlinuz" ] && [ -s "$output/initrd.gz" ] && [ "$(cat "$output/key" 2>/dev/null)" = "$key" ]; then
	exit 0
fi
mkdir -p "$output"
work=$(mktemp -d "$output/build.XXXXXX")
trap 'rm -rf "$work"' EXIT

kernel_package() { apt-cache depends "$metapackage" 2>/dev/null | awk '/Depends: linux-image-/ { print $2; exit }'; }
package=$(kernel_package)
if [ -z "$package" ]; then
	say "apt has no package lists: updating them"
	apt-get -qq update
	package=$(kernel_package)
fi
[ -n "$package" ] || { say "apt does not know $metapackage: check /etc/apt/sources.list"; exit 1; }

say "downloading $package"
# apt's own download user cannot write into a folder of root's; the warning about it is noise here.
download() { (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package"); }
if ! download 2>"$work/apt.log"; then
	say "the package lists are old: updating them"
	apt-get -qq update
	package=$(kernel_package)
	download
fi
dpkg -x "$work/$package"_*.deb "$work/kernel"

say "building the initrd"
root=$work/root
mkdir -p "$root"/{bin,dev,lib,proc,sys}
gcc -std=gnu11 -Wall -Wextra -Werror -O2 -static -s -o "$root/counter" "$here"/*.c
gcc -std=gnu11 -Wall -Wextra -Werror -O2 -static -s -o "$root/clock" "$here/clock/clock.c"
install -m 755 /bin/busybox "$root/bin/busybox"
install -m 755 "$here/init" "$root/init"
for module in "${modules[@]}"; do
	file=$(find "$work/kernel/lib/modules" -name "$module.ko" -print -quit)
	# What the kernel has built in needs no module; the cloud kernel has no driver of any real device.
	[ -n "$file" ] || continue
	cp "$file" "$root/lib/"
	echo "$module" >>"$root/lib/order"
done
(cd "$root" && find . -print0 | sort -z | cpio --null --create --format=newc --quiet --owner=0:0) | gzip -n -1 >"$work/initrd.gz"
cp "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"
mv "$work/vmlinuz" "$work/initrd.gz" "$output/"
echo "$key" >"$output/key"
say "ready in $output"
