"""Clips of Ableton Live in and out, through AbletonOSC.

AbletonOSC is a remote script that answers Open Sound Control on port 11000 and replies on 11001.
This runs outside Live, so Live never waits. Messages are small: UDP packets of notes by the dozen.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

from musegen import client
from musegen.errors import MusegenError

PORT, REPLIES = 11000, 11001
NOTES = 20  # in a packet
PATIENCE = 3.0  # seconds for an answer of Live


def encode(address: str, *values: Any) -> bytes:
    """An OSC 1.0 message of int32, float32, strings and booleans."""
    tags, data = ",", b""
    for value in values:
        if isinstance(value, bool):
            tags += "T" if value else "F"
        elif isinstance(value, int):
            tags, data = tags + "i", data + struct.pack(">i", value)
        elif isinstance(value, float):
            tags, data = tags + "f", data + struct.pack(">f", value)
        else:
            tags, data = tags + "s", data + _padded(str(value))
    return _padded(address) + _padded(tags) + data


def _padded(text: str) -> bytes:
    data = text.encode("utf-8") + b"\0"
    return data + b"\0" * (-len(data) % 4)


def decode(data: bytes) -> tuple[str, list[Any]]:
    """Address and values of an OSC message.

    Raises:
        ValueError: it is none.
    """
    try:
        address, at = _text(data, 0)
        tags, at = _text(data, at)
        values: list[Any] = []
        for tag in tags[1:]:
            if tag in "TFN":
                values.append({"T": True, "F": False, "N": None}[tag])
            elif tag == "s":
                text, at = _text(data, at)
                values.append(text)
            else:
                form = {"i": ">i", "f": ">f", "h": ">q", "d": ">d"}[tag]
                values.append(struct.unpack_from(form, data, at)[0])
                at += struct.calcsize(form)
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise ValueError(f"not an OSC message: {error}") from None
    return address, values


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode("utf-8"), end + 4 - end % 4


class Live:
    """Live's session clips, by track and slot from 0."""

    def __init__(self, port: int = PORT, replies: int = REPLIES) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(("127.0.0.1", replies))
        except OSError as error:
            raise MusegenError(
                f"port {replies} is taken ({error.strerror}); close what listens to AbletonOSC"
            ) from None
        self._to = ("127.0.0.1", port)

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def send(self, address: str, *values: Any) -> None:
        """Tell Live something."""
        self._socket.sendto(encode(address, *values), self._to)

    def ask(self, address: str, *values: Any) -> list[Any]:
        """What Live answers, without the values that were asked with.

        Raises:
            MusegenError: nobody answers.
        """
        self.send(address, *values)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self._socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                found, answer = decode(self._socket.recv(65536))
            except (TimeoutError, ValueError):
                continue
            if found == address and answer[: len(values)] == list(values):
                return answer[len(values) :]
        raise MusegenError(
            "Live does not answer; open it, and choose AbletonOSC as a control surface"
        )

    def clip(self, track: int, slot: int) -> dict[str, Any]:
        """A clip as the client sends music.

        Raises:
            MusegenError: there is none, or Live does not answer.
        """
        if not self.ask("/live/clip_slot/get/has_clip", track, slot)[0]:
            raise MusegenError(f"track {track + 1} has no clip in slot {slot + 1}")
        rows = self.ask("/live/clip/get/notes", track, slot)
        length = float(self.ask("/live/clip/get/length", track, slot)[0])
        notes = [
            {"pitch": int(p), "start": float(s), "duration": float(d), "velocity": max(1, int(v))}
            for p, s, d, v, muted in zip(*(rows[i::5] for i in range(5)), strict=False)
            if not muted and 0 <= s < length and d > 0
        ]
        tempo = float(self.ask("/live/song/get/tempo")[0])
        metre = [
            int(self.ask(f"/live/song/get/signature_{n}")[0]) for n in ("numerator", "denominator")
        ]
        return {"notes": notes, "length": length, "tempo": tempo, "metre": metre}

    def put(self, track: int, slot: int, name: str, score: dict[str, Any]) -> None:
        """A new clip with a score's notes in an empty slot.

        Raises:
            MusegenError: there is a clip already, or Live does not answer.
        """
        if self.ask("/live/clip_slot/get/has_clip", track, slot)[0]:
            raise MusegenError(f"track {track + 1} has a clip in slot {slot + 1} already")
        self.send("/live/clip_slot/create_clip", track, slot, float(score["length"]))
        until = time.monotonic() + PATIENCE
        while not self.ask("/live/clip_slot/get/has_clip", track, slot)[0]:
            if time.monotonic() > until:
                raise MusegenError(f"Live made no clip in track {track + 1}, slot {slot + 1}")
        self.send("/live/clip/set/name", track, slot, name)
        notes = client.notes_of(score)
        for i in range(0, len(notes), NOTES):
            values: list[Any] = []
            for n in notes[i : i + NOTES]:
                values += [
                    n["pitch"],
                    float(n["start"]),
                    float(n["duration"]),
                    n["velocity"],
                    False,
                ]
            self.send("/live/clip/add/notes", track, slot, *values)
        if self.ask("/live/clip/get/name", track, slot)[0] != name:  # and so all before it is done
            raise MusegenError(f"track {track + 1}, slot {slot + 1}: another clip came in between")

    def free(self, track: int, slot: int, n: int) -> list[int]:
        """The next n empty slots of a track from a slot on.

        Raises:
            MusegenError: there are too few.
        """
        scenes = int(self.ask("/live/song/get/num_scenes")[0])
        found = []
        for k in range(slot, scenes):
            if not self.ask("/live/clip_slot/get/has_clip", track, k)[0]:
                found.append(k)
            if len(found) == n:
                return found
        raise MusegenError(
            f"track {track + 1} has {len(found)} empty slots, {n} are needed; add scenes"
        )


def run(
    verb: str, live: Live, clips: list[tuple[int, int]], to: tuple[int, int], **options: Any
) -> Any:
    """Make music of clips and put it into empty slots.

    Args:
        verb: generate, vary, continue, interpolate ...
        live: a connection.
        clips: (track, slot) of what goes in.
        to: (track, slot) from where on results go.
        options: of the verb.

    Returns:
        The result, and the slots that were filled.
    """
    music = [live.clip(*place) for place in clips]
    result = client.wait(client.submit(verb, *music, reply=["notes"], **options))
    slots = live.free(to[0], to[1], len(result["scores"]))
    for i, (slot, score) in enumerate(zip(slots, result["scores"], strict=True)):
        live.put(to[0], slot, f"{verb} {i + 1} seed {result['seed']}", score)
    return result, slots
