"""A Dask cluster makes the very store that one process makes, also when it loses a worker half-way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.folders import OPTIONS, contents
from tests.tiny import HANG_GUARD_SECONDS
from voiceae.data.prepare import backend, prepare
from voiceae.errors import ConfigError

STARTED = "distributed.cli.dask_"
PATIENT = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": f"{HANG_GUARD_SECONDS:g}s",
    "DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": f"{HANG_GUARD_SECONDS:g}s",
}
"""Dask gives up a worker of a busy machine after seconds."""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class Cluster:
    """A scheduler and two workers of one thread each, in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        port = self.address.rpartition(":")[2]
        self.folder = folder
        self.processes = [self._start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")]
        for _ in range(2):
            self.processes.append(
                self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
            )

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        # As this test imports the package from the checkout, so must the workers.
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, **PATIENT, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        command = [sys.executable, "-m", f"{STARTED}{kind}", *options]
        log = (self.folder / f"{kind}.log").open("ab")
        return subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log)

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    running = Cluster(tmp_path)
    yield running
    running.close()


def test_a_killed_worker_changes_nothing(
    cluster: Cluster, store: Path, small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    with Client(cluster.address, timeout=HANG_GUARD_SECONDS, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=HANG_GUARD_SECONDS)
    monkeypatch.setattr("voiceae.data.prepare._CONNECT_SECONDS", HANG_GUARD_SECONDS)
    monkeypatch.chdir(small_corpus.parent)  # where the workers are not
    monkeypatch.setattr("voiceae.data.prepare._SHARD_UTTERANCES", 8)
    prepare("folder", small_corpus, tmp_path / "wanted", options=OPTIONS, jobs=1)
    victim = cluster.processes[-1]

    def kill_when_half_done() -> None:
        records = tmp_path / "made" / "records"
        while not records.is_dir() or len(list(records.glob("*.json"))) < 4:
            time.sleep(0.02)
        victim.send_signal(signal.SIGKILL)

    import threading

    threading.Thread(target=kill_when_half_done, daemon=True).start()
    with backend("dask", cluster.address):
        prepared = prepare("folder", Path(small_corpus.name), tmp_path / "made", options=OPTIONS)
    assert victim.wait(timeout=HANG_GUARD_SECONDS) == -signal.SIGKILL
    assert prepared.utterances == 160 and prepared.resumed == 0
    assert contents(tmp_path / "made") == contents(tmp_path / "wanted")


def test_what_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, scheduler in (("dask", None), ("local", "tcp://127.0.0.1:1")):
        with pytest.raises(ConfigError, match="go together"), backend(name, scheduler):
            pass
    monkeypatch.setattr("voiceae.data.prepare.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"voiceae\[dask\]"), backend("dask", "tcp://127.0.0.1:1"):
        pass


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    monkeypatch.setattr("voiceae.data.prepare._CONNECT_SECONDS", 0.5)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(ConfigError, match=f"{address}: does not answer"), backend("dask", address):
        pass
