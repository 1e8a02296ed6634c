#!/bin/bash
# PID 1 of the place where the benchmark runs, in mount, network and PID namespaces of its own: two hosts and a client,
# each a network namespace, and in the middle a switch for the guests' network and one for the hosts' own. When it ends,
# the kernel ends everything in it.
# usage: hub.sh; the owner's pipe is standard input, its end is the end of the yard
set -eu
mkdir -p /run/netns
mount -t tmpfs -o mode=755 tmpfs /run/netns
ip -batch - <<IP
link set lo up
link add sync type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set sync up
link set lan up
netns add client
link add client type veth peer name eth0 netns client
link set client master lan up
IP
for number in 1 2; do
	ip -batch - <<IP
netns add n$number
link add n$number-sync type veth peer name sync netns n$number
link add n$number-lan type veth peer name lan netns n$number
link set n$number-sync master sync up
link set n$number-lan master lan up
IP
	ip -netns n$number -batch - <<IP
link set lo up
link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set br0 address 02:6b:00:00:00:0$number
link set lan master br0 up
link set br0 up
addr add 10.77.2.$number/24 dev sync
link set sync up
IP
done
ip -netns client -batch - <<IP
link set lo up
addr add 10.77.3.254/24 dev eth0
link set eth0 up
IP
# This shell stays, and does not exec: PID 1 must reap orphans.
cat >/dev/null
