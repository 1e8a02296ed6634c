#!/bin/bash
# Installs the Debian packages that are missing, without starting any of their services.
# usage: packages.sh PACKAGE...
set -euo pipefail

missing=()
for package in "$@"; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
	[ "$status" = installed ] || missing+=("$package")
done
((${#missing[@]})) || exit 0
echo "missing: ${missing[*]}"

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -y -o DPkg::Lock::Timeout=120)

# The cluster must run in the lab only: nothing may start while it is being installed.
policy=/usr/sbin/policy-rc.d
mark='# made by the setup of kemari for the time of an installation'
# One of ours that is left was in use when the power went.
if [ ! -e "$policy" ] || grep -qxF "$mark" "$policy"; then
	printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi

# An installation that was interrupted is finished first; without that apt refuses everything else.
dpkg --configure -a

lists_are_fresh() { find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mmin -1440 2>/dev/null | grep -q .; }
install_missing() { "${apt[@]}" install --no-install-recommends "${missing[@]}"; }
if lists_are_fresh && install_missing; then
	:
else
	"${apt[@]}" update
	install_missing
fi

# Nor at the machine's next boot.
if [ -d /run/systemd/system ]; then
	for service in corosync pacemaker pcsd; do
		case " ${missing[*]} " in *" ${service/pcsd/pcs} "*) systemctl disable --now "$service" || true ;; esac
	done
fi
