# shellcheck shell=bash disable=SC2119,SC2120  # the checks' arguments are given by their tests only
# What must be there before anything is installed or started. Each check prints one sentence that says what is missing
# and what to do, and fails; its arguments are there for the tests, which want to see each sentence.

require_root() { # [EUID]
	[ "${1:-$EUID}" = 0 ] && return
	echo "This needs root, for network namespaces and QEMU's TAP devices: run it again with sudo."
	return 1
}

require_debian() { # [APT-GET]
	command -v "${1:-apt-get}" >/dev/null && [ "$(uname -m)" = x86_64 ] && return
	echo "This needs Debian 12 (or a relative of it with apt-get) on x86-64: use such a machine."
	return 1
}

require_write_tracking() { # [PROBE...]
	local probe=("$@")
	((${#probe[@]})) || probe=(perl "$(dirname "${BASH_SOURCE[0]}")/probe-userfaultfd.pl")
	"${probe[@]}" 2>/dev/null && return
	echo "This kernel ($(uname -r)) lacks userfaultfd WP_ASYNC or PAGEMAP_SCAN, which track the guest's writes: boot Linux 6.7 or later (Debian: the kernel of bookworm-backports)."
	return 1
}

require_tun() { # [DEVICE]
	local device=${1:-/dev/net/tun}
	[ -c "$device" ] && { : <>"$device"; } 2>/dev/null && return
	echo "$device cannot be opened, so the guest cannot have a network: load the module with \"modprobe tun\", or give the container that device."
	return 1
}

require_namespaces() { # [UNSHARE]
	"${1:-unshare}" --net --mount --pid --uts --ipc --fork true 2>/dev/null && return
	echo "Network, mount and PID namespaces cannot be made here, and the hosts of the lab are made of them: run on a machine of your own or in a container with --privileged."
	return 1
}

require_overlay() { # [TRY-MOUNT...]
	local try=("$@")
	# shellcheck disable=SC2016  # expanded by the inner shell
	((${#try[@]})) || try=(unshare --mount sh -c 'mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w &&
		mount -t overlay none -o lowerdir=/usr,upperdir=/mnt/u,workdir=/mnt/w /mnt/u')
	"${try[@]}" >/dev/null 2>&1 && return
	echo "overlayfs cannot be mounted, and each host of the lab needs one over /usr, /etc and /var: load the module with \"modprobe overlay\", or run where mounts are allowed."
	return 1
}

require_disk() { # FOLDER [MIB]
	local wanted_mib=${2:-3072} free_mib
	free_mib=$(df --output=avail -BM "$1" | tr -dc '0-9\n' | tail -1)
	((free_mib >= wanted_mib)) && return
	echo "$1 has $free_mib MiB of free disk space, and $wanted_mib MiB are needed for packages and builds: make room."
	return 1
}

require_memory() { # MIB
	local wanted_mib=$1 free_mib
	free_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
	((free_mib >= wanted_mib)) && return
	echo "$free_mib MiB of memory are available, and two hosts with a guest need $wanted_mib MiB: end other programs."
	return 1
}

require_node() { # [VERSION]
	local version=${1:-$(node --version 2>/dev/null)} major minor
	IFS=. read -r major minor _ <<<"${version#v}"
	[ "$major" = 20 ] && ((minor >= 19)) && return
	echo "Node.js 20.19 or a later 20 is needed, found ${version:-none}: install it from https://nodejs.org (Debian's own nodejs will not do)."
	return 1
}

require_cargo() { # [CARGO]
	command -v "${1:-cargo}" >/dev/null && return
	echo "cargo is not on the PATH: install Rust with rustup (https://rustup.rs); native/rust-toolchain.toml names the version."
	return 1
}

# Everything that the given command needs; every sentence, not only the first.
requirements() { # FOLDER NEEDS-LAB MIB
	local failed=0
	if [ "$2" = yes ]; then
		require_root || failed=1
		require_debian || failed=1
		# What only root can try says nothing more to anyone else.
		if ((failed == 0)); then
			require_write_tracking || failed=1
			require_tun || failed=1
			require_namespaces || failed=1
			require_overlay || failed=1
			require_memory "$3" || failed=1
		fi
	fi
	require_disk "$1" || failed=1
	require_node || failed=1
	require_cargo || failed=1
	return "$failed"
}
