#!/bin/bash
# Brings node_modules, dist/ and the guest images up to date; what is up to date already costs a checksum.
# usage: build.sh modules|build|guest|guest-pc|debian|measures
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

# Checksum of every file below the given paths, names included.
key_of() { find "$@" -type f -not -path '*/target/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1; }

# Runs a command unless it has succeeded before with the same inputs. usage: when_changed STAMP KEY COMMAND...
when_changed() {
	local stamp=$1 key=$2
	shift 2
	[ "$(cat "$stamp" 2>/dev/null)" != "$key" ] || return 0
	"$@"
	mkdir -p "$(dirname "$stamp")"
	echo "$key" >"$stamp"
}

case ${1:-} in
modules)
	when_changed node_modules/.installed-from "$(node --version) $(key_of package.json package-lock.json)" npm ci --no-audit --no-fund
	;;
build)
	for product in kemari kemari-engine libkemari_preload.so; do
		[ -f "dist/$product" ] || rm -f dist/.built-from
	done
	when_changed dist/.built-from "$(node --version) $(key_of src native packaging/build package.json package-lock.json tsconfig.json)" npm run build
	;;
guest) bash test/guest/build.sh ;;
guest-pc) bash test/guest-pc/build.sh ;;
debian) bash test/guest-debian/build.sh ;;
# Cargo knows what has changed.
measures) (cd native && cargo build --release --locked --example measure) ;;
*)
	echo "usage: build.sh modules|build|guest|guest-pc|debian|measures" >&2
	exit 2
	;;
esac
