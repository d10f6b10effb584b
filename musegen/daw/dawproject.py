"""Scores as DAWproject files, which Bitwig, Studio One, Cubase and others open.

DAWproject is an open exchange format of tracks, clips and tempo maps (Bitwig, MIT licence): a ZIP
with project.xml and metadata.xml. Elements and attributes here are those of version 1.0 of its
schema, in the schema's order.
"""

from __future__ import annotations

import io
import zipfile
from xml.etree import ElementTree as ET

from musegen.formats.assemble import clean
from musegen.names import instrument_name
from musegen.score import Score, Track
from musegen.version import __version__

VERSION = "1.0"
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
_DATE = (
    2020,
    1,
    1,
    0,
    0,
    0,
)  # of the files in the ZIP, so that the same score gives the same bytes


def to_bytes(score: Score, title: str = "musegen") -> bytes:
    """The DAWproject file of a score: a track with one clip for each part, whole bars long.

    Tempo and metre changes are kept as automation, markers as markers. Instruments are the host's
    to choose: the names of General MIDI stand in the names of tracks without one.
    """
    buffer = io.BytesIO()
    meta = ET.Element("MetaData")
    ET.SubElement(meta, "Title").text = clean(title)
    ET.SubElement(meta, "Comment").text = f"made with musegen {__version__}"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, root in (("project.xml", project(score)), ("metadata.xml", meta)):
            ET.indent(root)
            data = ET.tostring(root, encoding="utf-8", xml_declaration=True)
            archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def project(score: Score) -> ET.Element:
    """The project.xml of a score; times are in quarter notes."""
    root = ET.Element("Project", version=VERSION)
    ET.SubElement(root, "Application", name="musegen", version=__version__)
    transport = ET.SubElement(root, "Transport")
    _, num, den = score.metres[0]
    tempo = {"id": "tempo", "unit": "bpm", "min": "20", "max": "999", "name": "Tempo"}
    ET.SubElement(transport, "Tempo", tempo, value=f"{score.tempos[0][1]:.6f}")
    metre = {"id": "metre", "numerator": f"{num}", "denominator": f"{den}"}
    ET.SubElement(transport, "TimeSignature", metre)
    structure = ET.SubElement(root, "Structure")
    arrangement = ET.SubElement(root, "Arrangement", id="arrangement")
    lanes = ET.SubElement(arrangement, "Lanes", id="lanes", timeUnit="beats")
    end = int(score.bar_lines()[-1]) / score.ppq
    for i, track in enumerate(score.tracks):
        _track(structure, track, i)
        lane = ET.SubElement(lanes, "Lanes", id=f"lane{i}", track=f"track{i}")
        clips = ET.SubElement(lane, "Clips", id=f"clips{i}")
        whole = {"time": "0", "duration": f"{end:.6f}", "playStart": "0", "name": _name(track)}
        _notes(ET.SubElement(clips, "Clip", whole), track, score.ppq, i)
    master = ET.SubElement(structure, "Track", id="master", name="Master")
    channel = {"id": "out", "role": "master", "audioChannels": "2"}
    _volume(ET.SubElement(master, "Channel", channel), "out")
    _events(arrangement, score)
    return root


def _name(track: Track) -> str:
    return clean(track.name) or instrument_name(track.program, track.is_drum)


def _track(structure: ET.Element, track: Track, i: int) -> None:
    colour = COLOURS[i % len(COLOURS)]
    told = {"id": f"track{i}", "name": _name(track), "contentType": "notes", "color": colour}
    element = ET.SubElement(structure, "Track", told, loaded="true")
    channel = {"id": f"channel{i}", "role": "regular", "audioChannels": "2", "destination": "out"}
    _volume(ET.SubElement(element, "Channel", channel), f"{i}")


def _volume(channel: ET.Element, of: str) -> None:
    volume = {"id": f"volume-{of}", "unit": "linear", "min": "0", "max": "2", "value": "1"}
    ET.SubElement(channel, "Volume", volume)


def _notes(clip: ET.Element, track: Track, ppq: int, i: int) -> None:
    notes = ET.SubElement(clip, "Notes", id=f"notes{i}")
    channel = "9" if track.is_drum else "0"
    for onset, duration, pitch, velocity in track.notes.tolist():
        note = {"time": f"{onset / ppq:.6f}", "duration": f"{duration / ppq:.6f}"}
        note |= {"channel": channel, "key": f"{pitch}", "vel": f"{velocity / 127:.6f}"}
        ET.SubElement(notes, "Note", note, rel="0.5")


def _events(arrangement: ET.Element, score: Score) -> None:
    """Markers and changes of tempo and metre, in the schema's order."""
    if score.markers:
        markers = ET.SubElement(arrangement, "Markers", id="markers")
        for tick, text in score.markers:
            ET.SubElement(markers, "Marker", time=f"{tick / score.ppq:.6f}", name=clean(text))
    if len(score.tempos) > 1:
        told = {"id": "tempos", "timeUnit": "beats", "unit": "bpm"}
        points = ET.SubElement(arrangement, "TempoAutomation", told)
        ET.SubElement(points, "Target", parameter="tempo")
        for tick, qpm in score.tempos:
            point = {"time": f"{tick / score.ppq:.6f}", "value": f"{qpm:.6f}"}
            ET.SubElement(points, "RealPoint", point, interpolation="hold")
    if len(score.metres) > 1:
        told = {"id": "metres", "timeUnit": "beats"}
        points = ET.SubElement(arrangement, "TimeSignatureAutomation", told)
        ET.SubElement(points, "Target", parameter="metre")
        for tick, num, den in score.metres:
            point = {"time": f"{tick / score.ppq:.6f}", "numerator": f"{num}"}
            ET.SubElement(points, "TimeSignaturePoint", point, denominator=f"{den}")
