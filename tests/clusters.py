"""Small clusters on this machine, each in a network of its own that nothing outside can reach, gone with its first process."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The first process's end is everybody's end; a plain SIGTERM would not reach into the namespace.
APART = ["timeout", "-s", "KILL", "3600", "unshare", "-n", "-p", "-m", "-f", "--mount-proc", "--kill-child"]  # fmt: skip

RAY = """
set -e
ip link set lo up
export RAY_USAGE_STATS_ENABLED=0
start() { "$PYTHON" -m ray.scripts.scripts start "$@" --object-store-memory=100000000 >>"$FOLDER/ray.log" 2>&1; }
start --head --num-cpus=1 --include-dashboard=false --node-ip-address=127.0.0.1 --port=26379 --temp-dir="$FOLDER/ray"
start --address=127.0.0.1:26379 --num-cpus=1
exec "$@"
"""
# A node whose jobs a partition of higher priority takes away, with eight seconds to go.
SLURM = """
set -e
ip link set lo up
ip addr add 10.99.0.1/32 dev lo
H=$(hostname -s)
printf '127.0.0.1 localhost %s\\n' "$H" >"$FOLDER/hosts"
mount --bind "$FOLDER/hosts" /etc/hosts
D=$FOLDER
mkdir -p "$D/state" "$D/spool" "$D/log" "$D/run"
chmod 755 "$D"
head -c 1024 /dev/urandom >"$D/munge.key"
chmod 400 "$D/munge.key"
cat >"$D/slurm.conf" <<CONF
ClusterName=loop
SlurmctldHost=$H(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$D/munge.socket,cred_expire=30
CredType=cred/munge
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/ctld.pid
SlurmdPidFile=$D/run/%n.pid
SlurmctldLogFile=$D/log/ctld.log
SlurmdLogFile=$D/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=3
SlurmdTimeout=300
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=0
MinJobAge=300
NodeName=n1 NodeHostname=$H NodeAddr=127.0.0.1 Port=26818 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=n1 Default=YES MaxTime=60 State=UP PriorityTier=1 GraceTime=60
PartitionName=high Nodes=n1 MaxTime=60 State=UP PriorityTier=10
CONF
munged --key-file="$D/munge.key" -S "$D/munge.socket" --pid-file="$D/munged.pid" --log-file="$D/munged.log" --seed-file="$D/seed"
export SLURM_CONF="$D/slurm.conf"
slurmctld -c
slurmd -N n1
for _ in $(seq 600); do sinfo -h -o %T 2>/dev/null | grep -q idle && break; sleep 0.5; done
exec "$@"
"""


@functools.cache
def no_namespaces() -> str | None:
    """Why no network of its own can be had here; None where it can."""
    if os.getuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        return "a network of its own takes root, unshare and ip"
    done = subprocess.run([*APART, "true"], capture_output=True)
    return None if done.returncode == 0 else "this machine forbids namespaces"


def no_slurm() -> str | None:
    """Why no Slurm can be started here; None where it can."""
    lacking = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]  # fmt: skip
    return f"{', '.join(lacking)}: not installed" if lacking else no_namespaces()


def inside(cluster: str, folder: Path, home: Path, words: list[str]) -> str:
    """What a module of ours prints, run inside such a cluster."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "start.sh"
    script.write_text(cluster, encoding="utf-8")
    ours = {"FOLDER": str(folder), "PYTHON": sys.executable, "LETHE_HOME": str(home), "PYTHONPATH": str(ROOT)}  # fmt: skip
    command = [*APART, "bash", str(script), sys.executable, *words]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **ours}, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]
