"""A Dask cluster of processes makes the same shards, whatever happens to its workers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import environment
from test_prepare import contents
from tiny import SAMPLES

from musegen import prepare
from musegen.errors import MusegenError

distributed = pytest.importorskip("distributed")

SLOW = 0.02  # seconds a piece, so that workers are killed at work


class Reading(distributed.WorkerPlugin):
    """Slows readers down, and ends those of a piece whose name says so."""

    def setup(self, worker: Any) -> None:
        import os
        import time

        from musegen import corpora

        read = corpora.read

        def reading(entry: Any) -> Any:
            time.sleep(SLOW)
            if "poison" in entry.name:
                os._exit(139)
            return read(entry)

        corpora.read = reading


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two processes, as `dask worker --nthreads 1` makes them."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment().items():
            patch.setenv(key, value)
        patch.setenv("PYTHONPATH", os.pathsep.join([environment()["PYTHONPATH"], *sys.path]))
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
            ) as running,
            distributed.Client(running) as client,
        ):
            client.register_plugin(Reading())
            yield client


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pieces in shards of four, and what one process makes of them."""
    monkeypatch.setattr(prepare, "ENTRIES", 4)
    folder = tmp_path / "music"
    for i in range(3):
        shutil.copytree(
            SAMPLES,
            folder / str(i),
            ignore=lambda _, names: [n for n in names if not n.endswith(".mid")],
        )
    prepare.prepare([folder], tmp_path / "expected", workers=0)
    return folder


@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_loses_nothing(cluster: Any, music: Path, tmp_path: Path) -> None:
    out, killed = tmp_path / "out", []

    def kill() -> None:
        while len(list(out.glob("shards/*.npz"))) < 3:
            time.sleep(0.01)
        killed.append(next(iter(cluster.run(os.getpid).values())))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    prepare.prepare([music], out, cluster=cluster.scheduler.address)
    killer.join()
    assert contents(out) == contents(tmp_path / "expected")
    assert killed[0] not in cluster.run(os.getpid).values()


@pytest.mark.filterwarnings("ignore")
def test_a_poisonous_file_is_set_aside(cluster: Any, music: Path, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "ryan_fishers_hornpipe.mid", music / "1" / "poison.mid")
    manifest = prepare.prepare([music], tmp_path / "out", cluster=cluster.scheduler.address)
    assert manifest["rejects"]["it ended or blocked its reader 2 times"] == 1
    there = sum(manifest["inputs"].values())
    assert there == len(list(music.rglob("*.mid")))


def test_nothing_there(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musegen.prepare.cluster._PATIENCE", 0.3)
    with pytest.raises(MusegenError, match="no Dask scheduler answers there"):
        prepare.prepare([samples], tmp_path / "out", cluster="tcp://127.0.0.1:9")
    with pytest.raises(MusegenError, match="no Dask scheduler answers there"):
        prepare.prepare([samples], tmp_path / "out", cluster="nonsense://")


def test_without_dask(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MusegenError, match=r"pip install 'musegen\[cluster\]'"):
        prepare.prepare([samples], tmp_path / "out", cluster="tcp://127.0.0.1:9")
