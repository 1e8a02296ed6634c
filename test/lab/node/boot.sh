#!/bin/bash
# PID 1 of a lab node, in mount, uts, ipc and PID namespaces of its own and in its network namespace. SIGKILL of it is
# the node's power failure.
# usage: boot.sh NODE DISK NODE-NUMBER
set -eu
node=$1 disk=$2 number=$3
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

hostname "$node"
# Durable over a reboot, private to the node: changes to these folders go to its disk.
mkdir -p "$disk/share"
cp "$here/fence_lab" "$disk/share/fence_lab"
for folder in usr etc var; do
	mkdir -p "$disk/upper/$folder" "$disk/work/$folder"
	mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$disk/upper/$folder,workdir=$disk/work/$folder" "/$folder"
done
# Gone with the power: everything in memory.
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
# A node must not be able to reset the machine that it runs on.
for device in /proc/sysrq-trigger /dev/watchdog /dev/watchdog[0-9]; do
	[ ! -e "$device" ] || mount --bind /dev/null "$device"
done
install -d -m 755 /run/resource-agents
install -d -m 750 -o hacluster -g haclient /run/crm
install -d -m 1777 /run/lock

# The guest's network: a bridge with the cable in it; whoever runs the guest adds its TAP device.
ip -batch - <<IP
link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set eth3 master br0 up
link set br0 up
IP

if [ ! -e /etc/lab-installed ]; then
	install -m 755 "$disk/share/fence_lab" /usr/sbin/fence_lab
	rm -rf /var/lib/pacemaker /var/log/pacemaker /var/log/corosync /var/lib/corosync
	for folder in blackbox cib cores pengine; do
		install -d -m 750 -o hacluster -g haclient "/var/lib/pacemaker/$folder"
	done
	install -d -m 770 -o hacluster -g haclient /var/log/pacemaker
	install -d -m 755 /var/log/corosync /var/lib/corosync /etc/corosync/uidgid.d /var/log/pcsd /var/lib/pcsd
	install -m 644 "$disk/../corosync.conf" /etc/corosync/corosync.conf
	install -m 400 "$disk/../authkey" /etc/corosync/authkey
	install -d -m 750 -o hacluster -g haclient /etc/pacemaker
	install -m 440 -o hacluster -g haclient "$disk/../authkey" /etc/pacemaker/authkey
	install -m 644 "$disk/../hosts" /etc/hosts
	echo "$node" >/etc/hostname
	# Without a first CIB, the first start waits 20 s (dc-deadtime) before it elects a DC.
	seed=/var/lib/pacemaker/cib/cib.xml
	cibadmin --empty >"$seed"
	CIB_file=$seed crm_attribute -t crm_config -n dc-deadtime -v 1s
	rm -f "$seed".sig /var/lib/pacemaker/cib/*-*.raw*
	chown hacluster:haclient "$seed"
	chmod 600 "$seed"
	touch /etc/lab-installed
fi

# The checkout, to install from, under a name that does not depend on where it lies.
mkdir /run/project
mount --bind "$here/../../.." /run/project
mount -o remount,bind,ro /run/project
# Not before: disk and checkout may be below /tmp. Their mounts stay.
mount -t tmpfs -o mode=1777 tmpfs /tmp

export PCMK_logfile=/var/log/pacemaker/pacemaker.log PCMK_logfacility=none HA_LOGFACILITY=none
corosync -f >>/var/log/corosync/console.log 2>&1 &
corosync=$!
for ((i = 0; i < 200; i++)); do
	! corosync-cfgtool -s >/dev/null 2>&1 || break
	sleep 0.05
done
pacemakerd -f >>/var/log/pacemaker/console.log 2>&1 &
pacemaker=$!
echo "node $number: corosync $corosync, pacemaker $pacemaker"
# As PID 1 this shell reaps the orphans and stays, whatever ends: the power goes off from outside only.
trap ':' TERM INT HUP
while :; do
	wait -n || :
	kill -0 "$corosync" 2>/dev/null || kill -0 "$pacemaker" 2>/dev/null || break
done
echo "node $number: the cluster has stopped here"
while :; do
	sleep 3600 &
	wait $! || :
done
