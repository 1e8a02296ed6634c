#!/bin/bash
# Builds the Debian guest: cache/guest-debian/vmlinuz and initrd.gz, a Debian with redis and nginx that lives in its RAM
# (debootstrap; kernel and modules are the test guest's). Does nothing when the inputs have not changed; the packages are
# downloaded again only when their list changes.
# usage: build.sh [OUTPUT-FOLDER [TEST-GUEST-FOLDER]]
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
output=${1:-$here/../../cache/guest-debian}
guest=${2:-$here/../../cache/guest}
packages=redis-server,nginx-light
release=bookworm

say() { echo "Debian guest: $*" >&2; }

bash "$here/../guest/build.sh" "$guest"
key=$(cat "$here"/* "$guest/key" | sha256sum | cut -d' ' -f1)
if [ -s "$output/vmlinuz" ] && [ -s "$output/initrd.gz" ] && [ "$(cat "$output/key" 2>/dev/null)" = "$key" ]; then
	exit 0
fi
mkdir -p "$output"
work=$(mktemp -d "$output/build.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The mirror and the proxy that apt uses on this machine.
mirror() {
	# shellcheck disable=SC2016  # apt's own variable
	apt-get indextargets --format '$(REPO_URI)' "Codename: $release" 'Component: main' 'Created-By: Packages' | sed -n 1p
}
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "${proxy:-}" ] || export http_proxy=$proxy https_proxy=$proxy

# Everything that no program here reads: documentation, translations, what apt and dpkg know, and apt itself.
strip() {
	local root=${1:?}
	rm -rf "$root"/usr/share/{doc,man,info,locale,zoneinfo,lintian,bash-completion,perl5,bug,common-licenses,pixmaps} \
		"$root"/var/cache/* "$root"/var/lib/{apt,dpkg} "$root"/var/log/* "$root"/usr/lib/{apt,locale,systemd} \
		"$root"/usr/lib/x86_64-linux-gnu/{perl-base,gconv,libapt-*,libicu*} "$root"/usr/bin/{apt*,dpkg*,perl*} \
		"${root:?}"/boot "${root:?}"/dev/*
}

base=$output/base-$(echo "$release $packages" | sha256sum | cut -c1-16).tar
if [ ! -s "$base" ]; then
	say "installing $release with $packages (about 100 packages, a minute)"
	mirror=$(mirror)
	if ! debootstrap --variant=minbase --include="$packages" "$release" "$work/base" "${mirror:-http://deb.debian.org/debian}" \
		>"$work/debootstrap.log" 2>&1; then
		tail -n 20 "$work/debootstrap.log" "$work/base/debootstrap/debootstrap.log" >&2 2>/dev/null
		say "debootstrap has failed"
		exit 1
	fi
	strip "$work/base"
	tar -C "$work/base" --numeric-owner -cf "$work/base.tar" .
	rm -rf "$work/base" "$output"/base-*.tar
	mv "$work/base.tar" "$base"
fi

say "building the initrd"
root=$work/root test=$work/test
mkdir -p "$root" "$test"
tar -C "$root" --numeric-owner -xf "$base"
(cd "$test" && gunzip -c "$guest/initrd.gz" | cpio --extract --quiet --make-directories)
mkdir -p "$root/kemari/modules" "$root/kemari/www" "$root/var/log/nginx"
cp "$test"/lib/* "$root/kemari/modules/"
install -m 755 "$test/counter" "$root/kemari/counter"
install -m 755 "$test/bin/busybox" "$root/kemari/busybox"
install -m 644 "$here/redis.conf" "$here/nginx.conf" "$root/kemari/"
install -m 755 "$here/init" "$root/init"
# A page of 1 KiB.
printf '%1023s\n' 'a page of a protected guest' >"$root/kemari/www/index.html"
(cd "$root" && find . -print0 | sort -z | cpio --null --create --format=newc --quiet) | gzip -n -6 >"$work/initrd.gz"
cp "$guest/vmlinuz" "$work/vmlinuz"
mv "$work/vmlinuz" "$work/initrd.gz" "$output/"
echo "$key" >"$output/key"
say "ready in $output ($(du -m "$output/initrd.gz" | cut -f1) MiB)"
