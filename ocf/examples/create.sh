#!/bin/sh
# Creates the resource of vm1.xml on a running two-node cluster with fencing. Run it once, on one node.
set -eu

# The same file on both nodes: /etc/kemari/vm1.xml. Fencing must work before anything is protected.
pcs property set stonith-enabled=true

# Two instances: the promoted one runs the guest, the other holds the replica. Without notify=true: with it every
# failover waits for five notifications between fencing and promote.
pcs resource create vm1 ocf:kemari:vm \
  config=/etc/kemari/vm1.xml \
  sync_address='n1:10.77.2.1;n2:10.77.2.2' \
  op start timeout=90s \
  op stop timeout=120s \
  op promote timeout=120s on-fail=demote \
  op demote timeout=120s \
  op monitor interval=10s timeout=20s role=Unpromoted \
  op monitor interval=5s timeout=20s role=Promoted on-fail=demote \
  op monitor interval=31s timeout=30s role=Promoted OCF_CHECK_LEVEL=20 \
  promotable promoted-max=1 clone-max=2 interleave=true notify=false

# What it does now, and how to move the guest by hand:
#   crm_mon -1A           scores and states
#   kemari status vm1     what the engine says
#   pcs resource move vm1-clone --promoted
