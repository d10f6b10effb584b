"""Hosts that cannot be run here, as far as the scripts use their APIs; and a client without a
server, which does a job at once by the worker's own function."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any

from musegen import client
from musegen.daw.ableton import decode, encode
from musegen.server import worker
from musegen.server.tasks import parse


class Here:
    """Stands in for `musegen.client`: jobs are done in this process, after `delay` polls."""

    def __init__(self, delay: int = 0) -> None:
        self.delay, self.jobs = delay, []

    def submit(self, verb: str, *music: Any, model: Any = None, reply: Any = (), **options: Any):
        job = client.Job(verb)
        given = {k: v for k, v in options.items() if v is not None}
        body = {"verb": verb, "model": model, "reply": list(reply), "options": given}
        body["inputs"] = [client._packed(piece) for piece in music]
        job.left, job.body = self.delay, json.loads(json.dumps(body))
        self.jobs.append(job)
        return job

    def poll(self, job: Any) -> dict[str, Any]:
        if job.left:
            job.left -= 1
            job.state = "running"
        elif job.state not in client.ENDED:
            try:
                made = worker.perform(parse(job.body).as_dict(), lambda share: None)
                job._answer, job.state = client._unpacked(json.loads(json.dumps(made))), "done"
            except Exception as error:
                job.state, job.message = "failed", str(error)
        return {"state": job.state, "message": job.message}

    def install(self, monkeypatch: Any) -> Here:
        monkeypatch.setattr(client, "submit", self.submit)
        monkeypatch.setattr(client, "poll", self.poll)
        return self


class Reaper:
    """As much of REAPER's API as the actions use: 960 ticks a quarter, one tempo, items, tracks."""

    PPQ = 960

    def __init__(self, tempo: float = 120.0, answers: dict[str, str] | None = None) -> None:
        self.tempo, self.answers = tempo, answers or {}
        self.selected: list[dict[str, Any]] = []
        self.tracks: list[dict[str, Any]] = []
        self.told: list[str] = []
        self.deferred: list[str] = []
        self.undo: list[str] = []
        self.asked: list[str] = []
        self.cursor = 0.0

    def item(self, start: float, length: float, notes: list[list[float]]) -> None:
        """A selected item: start and length in quarters, notes as (on, off, pitch, velocity,
        channel) in quarters from its start."""
        rows = [
            [False, int(self.PPQ * on), int(self.PPQ * off), channel, pitch, velocity]
            for on, off, pitch, velocity, channel in notes
        ]
        self.selected.append({"start": start, "length": length, "notes": rows})

    def seconds(self, quarters: float) -> float:
        return quarters * 60 / self.tempo

    def RPR_CountSelectedMediaItems(self, project: int) -> int:
        return len(self.selected)

    def RPR_GetSelectedMediaItem(self, project: int, i: int) -> Any:
        return self.selected[i]

    def RPR_GetActiveTake(self, item: Any) -> Any:
        return item

    def RPR_TakeIsMIDI(self, take: Any) -> bool:
        return True

    def RPR_GetMediaItemInfo_Value(self, item: Any, what: str) -> float:
        return self.seconds(item["start" if what == "D_POSITION" else "length"])

    def RPR_TimeMap2_timeToQN(self, project: int, seconds: float) -> float:
        return seconds * self.tempo / 60

    def RPR_GetCursorPosition(self) -> float:
        return self.cursor

    def RPR_TimeMap_GetTimeSigAtTime(self, project: int, seconds: float, *out: int) -> tuple:
        return (project, seconds, 4, 4, self.tempo)

    def RPR_MIDI_CountEvts(self, take: Any, *out: int) -> tuple:
        return (len(take["notes"]), take, len(take["notes"]), 0, 0)

    def RPR_MIDI_GetNote(self, take: Any, i: int, *out: int) -> tuple:
        muted, on, off, channel, pitch, velocity = take["notes"][i]
        return (True, take, i, False, muted, on, off, channel, pitch, velocity)

    def RPR_MIDI_GetProjQNFromPPQPos(self, take: Any, ppq: float) -> float:
        return take["start"] + ppq / self.PPQ

    def RPR_MIDI_GetPPQPosFromProjQN(self, take: Any, quarters: float) -> float:
        return (quarters - take["start"]) * self.PPQ

    def RPR_GetUserInputs(self, title: str, n: int, names: str, values: str, size: int) -> tuple:
        self.asked.append(title)
        given = zip(names.split(","), values.split(","), strict=True)
        text = ",".join(self.answers.get(name, value) for name, value in given)
        return ("cancel" not in self.answers, title, n, names, text, size)

    def RPR_ShowMessageBox(self, text: str, title: str, kind: int) -> int:
        self.told.append(text)
        return 1

    def RPR_defer(self, code: str) -> None:
        self.deferred.append(code)

    def RPR_Undo_BeginBlock(self) -> None:
        self.undo.append("begin")

    def RPR_Undo_EndBlock(self, words: str, flags: int) -> None:
        self.undo.append(words)

    def RPR_CountTracks(self, project: int) -> int:
        return len(self.tracks)

    def RPR_InsertTrackAtIndex(self, i: int, defaults: bool) -> None:
        self.tracks.insert(i, {"name": "", "items": []})

    def RPR_GetTrack(self, project: int, i: int) -> Any:
        return self.tracks[i]

    def RPR_GetSetMediaTrackInfo_String(self, track: Any, what: str, text: str, put: bool) -> None:
        assert what == "P_NAME"
        track["name"] = text

    def RPR_CreateNewMIDIItemInProj(self, track: Any, on: float, off: float, quarters: bool) -> Any:
        assert quarters
        item = {"start": on, "length": off - on, "notes": []}
        track["items"].append(item)
        return (item, track, on, off, quarters)

    def RPR_MIDI_InsertNote(self, take: Any, *row: Any) -> None:
        _, muted, on, off, channel, pitch, velocity, unsorted = row
        assert unsorted
        take["notes"].append([muted, on, off, channel, pitch, velocity])

    def RPR_MIDI_Sort(self, take: Any) -> None:
        take["notes"].sort(key=lambda row: row[1])

    def RPR_UpdateArrange(self) -> None:
        pass


class FakeLive(threading.Thread):
    """AbletonOSC on loopback, as far as clips go: tracks of slots, each None or a clip."""

    def __init__(self, tracks: int = 2, scenes: int = 8) -> None:
        super().__init__(daemon=True)
        self.clips: dict[tuple[int, int], dict[str, Any]] = {}
        self.scenes = scenes
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.largest = 0

    def run(self) -> None:
        with contextlib.suppress(OSError):  # until the socket is closed
            while True:
                data, sender = self.socket.recvfrom(65536)
                self.largest = max(self.largest, len(data))
                address, values = decode(data)
                answer = self.answer(address, values)
                if answer is not None:
                    self.socket.sendto(encode(address, *values, *answer), sender)

    def answer(self, address: str, values: list[Any]) -> list[Any] | None:
        place = tuple(values[:2])
        clip = self.clips.get(place)
        if address == "/live/clip_slot/get/has_clip":
            return [clip is not None]
        if address == "/live/clip/get/notes":
            return [v for row in clip["notes"] for v in row]
        if address == "/live/clip/get/name":
            return [clip["name"]]
        if address == "/live/clip/get/length":
            return [clip["length"]]
        if address == "/live/clip_slot/create_clip":
            assert clip is None
            self.clips[place] = {"length": values[2], "notes": [], "name": ""}
        elif address == "/live/clip/set/name":
            clip["name"] = values[2]
        elif address == "/live/clip/add/notes":
            rows = values[2:]
            clip["notes"] += [rows[i : i + 5] for i in range(0, len(rows), 5)]
        else:
            song = {"tempo": 97.0, "signature_numerator": 4, "signature_denominator": 4}
            song["num_scenes"] = self.scenes
            return [song[address.removeprefix("/live/song/get/")]]
        return None
