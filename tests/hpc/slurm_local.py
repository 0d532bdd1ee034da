"""A real Slurm of one node, private to the tests: own folder, ports, keys and daemons."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

PROGRAMS = ('sbatch', 'squeue', 'sinfo', 'scancel', 'scontrol', 'slurmctld', 'slurmd', 'munged')

# No control groups and no accounting data base, which need more than a test may ask for; short
# intervals, so that a chain of jobs takes seconds; two CPUs, whatever the machine has, because a
# registration asks for them; arrays of two tasks. JobComp is what `sacct` would tell.
_SLURM_CONF = """ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.txt
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=5
MaxArraySize=3
DefMemPerCPU=1000
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={memory} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Those of Slurm and munge that are not on the path, which gets the folders of daemons."""
    os.environ['PATH'] += f'{os.pathsep}/usr/sbin{os.pathsep}/sbin'
    return [name for name in PROGRAMS if shutil.which(name) is None]


def skip_or_fail(reason: str) -> None:
    """Skip the test, or fail where CI promises that all it needs is installed."""
    if os.environ.get('TMSPREP_NEEDS_SLURM'):
        pytest.fail(reason)
    pytest.skip(reason)


class LocalSlurm:
    """One node that takes jobs.

    Parameters
    ----------
    folder : Path
        For everything that the daemons write; a short path, because of the socket in it.
    """

    def __init__(self, folder: Path):
        self.folder, self._daemons = folder, []
        self.environment = {**os.environ, 'SLURM_CONF': str(folder / 'slurm.conf')}

    def start(self, timeout_s: float = 30) -> None:
        """Start the daemons and wait for the node.

        Raises
        ------
        RuntimeError
            With the end of the daemons' logs if the node is not up in time.
        """
        for name in ('state', 'spool'):
            (self.folder / name).mkdir()
        (self.folder / 'slurm.conf').write_text(_SLURM_CONF.format(**self._settings()))
        self._start_munge()
        self._start('slurmctld', '-D', '-i', '-f', self.folder / 'slurm.conf')
        self._start('slurmd', '-D', '-f', self.folder / 'slurm.conf')
        end = time.monotonic() + timeout_s
        while self._run('sinfo', '-h', '-o', '%T').strip() not in ('idle', 'mixed', 'allocated'):
            if time.monotonic() > end:
                logs = (path.read_text()[-1500:] for path in sorted(self.folder.glob('*.log')))
                raise RuntimeError('Slurm did not start:\n' + '\n'.join(logs))
            time.sleep(0.1)

    def stop(self) -> None:
        """Cancel all jobs and end the daemons."""
        self._run('scancel', '--state=PENDING,RUNNING', f'--user={_user()}')
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def wait(self, timeout_s: float = 240) -> None:
        """Wait until no job is left in the queue.

        Raises
        ------
        TimeoutError
            With the queue.
        """
        end = time.monotonic() + timeout_s
        while queue := self._run('squeue', '-h').strip():
            if time.monotonic() > end:
                raise TimeoutError(f'still in the queue:\n{queue}')
            time.sleep(0.3)

    def completed(self) -> list[dict[str, str]]:
        """Tell what became of each job, from the oldest: JobId, Name, JobState, ExitCode ..."""
        lines = (self.folder / 'jobcomp.txt').read_text().splitlines()
        return [dict(p.split('=', 1) for p in line.split() if '=' in p) for line in lines]

    def _settings(self) -> dict[str, object]:
        pages, size = os.sysconf('SC_PHYS_PAGES'), os.sysconf('SC_PAGE_SIZE')
        return {
            'host': socket.gethostname().split('.')[0],
            'controller_port': _free_port(),
            'node_port': _free_port(),
            'user': _user(),
            'folder': self.folder,
            'memory': pages * size // 2**20 - 512,
        }

    def _start_munge(self) -> None:
        key = self.folder / 'munge.key'
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        names = {'socket': 'socket', 'key-file': 'key', 'log-file': 'log', 'pid-file': 'pid'}
        options = [f'--{name}={self.folder}/munge.{end}' for name, end in names.items()]
        seed = f'--seed-file={self.folder}/munge.seed'
        self._start('munged', '--foreground', '--force', *options, seed)

    def _start(self, *command: object) -> None:
        with (self.folder / f'{command[0]}.log').open('w') as log:
            daemon = subprocess.Popen(
                [str(word) for word in command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._daemons.append(daemon)

    def _run(self, *command: str) -> str:
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        ).stdout


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
