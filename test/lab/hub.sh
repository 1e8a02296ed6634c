#!/bin/bash
# PID 1 of a lab, in mount, network and PID namespaces of its own. When it ends, for whatever reason, the kernel ends
# every process of the lab and takes its mounts and networks away: nothing needs to be cleaned up by name.
# usage: hub.sh RUN-FOLDER POWER-PROGRAM; the owner's pipe is standard input, its end is the end of the lab
set -eu
run=$1 power=$2
# Named network namespaces live in /run/netns: the lab's own one, so that two labs can use the same names.
mkdir -p /run/netns
mount -t tmpfs -o mode=755 tmpfs /run/netns
# Disks of the nodes: they survive a node's reboot and end with the lab.
mkdir -p "$run/disks"
mount -t tmpfs -o mode=755 tmpfs "$run/disks"
# This shell stays, and does not exec: PID 1 must reap the lab's orphans, which node does not do.
node "$power" "$run" || echo "the power controller failed: $?"
umount --lazy "$run/disks"
# The owner asks for the logs of a story that failed by leaving this file.
[ -e "$run/keep" ] || rm -rf "$run"
