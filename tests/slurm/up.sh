#!/bin/bash
# One-node SLURM for the tests, as root, without systemd: installs it if absent (install.sh), starts what is down.
# Leaves a cluster that answers, or another's slurm.conf, alone.
# Usage: up.sh [BASE]. BASE (default /tmp/one-node-slurm) holds state, logs and pid files. Stop with down.sh.
# Advertises SLURM_CPUS CPUs (default 8, may exceed the real ones); no accounting database: nothing here needs one.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin  # where the daemons are, and a user's PATH may not be
BASE=${1:-/tmp/one-node-slurm}
CPUS=${SLURM_CPUS:-8}
HOST=$(hostname -s)

# pinged first: without a controller sinfo tries for ten seconds
ready() { scontrol ping >/dev/null 2>&1 && sinfo --noheader --format=%T 2>/dev/null | grep -qxE 'idle|mixed|allocated|completing'; }
if ready; then sinfo; exit; fi
if [ -s /etc/slurm/slurm.conf ] && ! grep -qx ClusterName=test /etc/slurm/slurm.conf; then
  echo "/etc/slurm/slurm.conf belongs to another cluster, which does not answer" >&2
  exit 1
fi
bash "$(dirname "$0")/install.sh"
mkdir -p "$BASE"/{state,spool,log,run}

# A daemon would keep what its caller has open for as long as it lives, a lock for instance.
for descriptor in /proc/$$/fd/*; do
  descriptor=${descriptor##*/}
  # bash reads this file through 255
  if ((descriptor > 2 && descriptor != 255)); then eval "exec $descriptor>&-"; fi
done

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
wait_for() { for _ in $(seq 300); do "$@" && return; sleep 0.1; done; return 1; }

# munge: the daemons authenticate each other with one key
install -d -o munge -g munge -m 0755 /run/munge
install -d -o munge -g munge -m 0700 /etc/munge /var/log/munge /var/lib/munge
[ -s /etc/munge/munge.key ] || head -c 128 /dev/urandom >/etc/munge/munge.key
chown munge:munge /etc/munge/munge.key
chmod 600 /etc/munge/munge.key
munges() { munge -n 2>/dev/null | unmunge >/dev/null 2>&1; }
if ! munges; then
  setpriv --reuid munge --regid munge --clear-groups munged
  wait_for munges
  cp /run/munge/munged.pid "$BASE/run/"
fi

# Job ids start at the time of the first start: a wiped cluster must not hand out ids that older folders know.
[ -s "$BASE/state/first_job" ] || echo $(($(date +%s) % 60000000 + 1)) >"$BASE/state/first_job"
MEMORY=$(slurmd -C | sed -n 's/.*RealMemory=\([0-9]*\).*/\1/p')
cat >/etc/slurm/slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$BASE/run/slurmctld.pid
SlurmdPidFile=$BASE/run/slurmd.pid
SlurmctldLogFile=$BASE/log/slurmctld.log
SlurmdLogFile=$BASE/log/slurmd.log
StateSaveLocation=$BASE/state
SlurmdSpoolDir=$BASE/spool
AuthType=auth/munge
# A requeued job is held back until its credential has expired: 11 s instead of two minutes.
AuthInfo=cred_expire=10
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0
FirstJobId=$(cat "$BASE/state/first_job")
ReturnToService=2
KillWait=3
# A step that uses more memory than it asked for is killed, as cgroups do on a real cluster.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
EnforcePartLimits=ALL
PropagateResourceLimits=NONE
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$CPUS CoresPerSocket=$CPUS RealMemory=$MEMORY State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF

alive "$BASE/run/slurmctld.pid" || slurmctld
alive "$BASE/run/slurmd.pid" || slurmd
wait_for ready || { tail -n 20 "$BASE"/log/slurm*.log; exit 1; }
sinfo
