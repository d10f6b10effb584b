"""From a named corpus, folder, zip or tar to its songs.

`entries` lists the pieces of a source without reading them, `read` reads one, and `songs` is both.
A piece that cannot be read becomes a `Reject` with its reason and never stops the others.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from musegen.corpora import containers, readers
from musegen.corpora.catalogue import CORPORA, Corpus
from musegen.corpora.containers import Member
from musegen.corpora.readers import Entry, Reject, Song
from musegen.errors import InputError

__all__ = ["CORPORA", "SAMPLE_TITLES", "Corpus", "Entry", "Reject", "Song"]
__all__ += ["at_hand", "entries", "read", "songs"]

# Tunes shipped in data/samples: their clusters always go to the test part, so demos are honest.
SAMPLE_TITLES = (
    "fishers hornpipe",
    "fishers",
    "durangs hornpipe",
    "durangs",
    "arkansas traveller",
    "swallows tail",
    "masons apron",
    "harvest home",
    "ranting highlandman",
    "white cockade",
)
BANDS = Path(__file__).parents[2] / "data" / "bands"  # in a checkout, not in the wheel
PEEK = 10_000  # files to look at for the marks of a named corpus ...
PEEK_BYTES = 2**25  # ... but not more than this, where looking is reading


def songs(source: str | Path) -> Iterator[Song | Reject]:
    """The pieces of `entries(source)`, read.

    Raises:
        InputError: the source does not exist or holds no music.
    """
    return map(read, entries(source))


def read(entry: Entry) -> Song | Reject:
    """The piece of an entry, or why it cannot be used."""
    if entry.fault:
        return Reject(entry.name, entry.fault)
    try:
        return CORPORA[entry.corpus].reader(entry)
    except InputError as error:
        return Reject(entry.name, error.reason)
    except Exception as error:  # a mistake of a reader must not stop a million others
        return Reject(entry.name, f"its reader failed ({type(error).__name__}); please report it")


def entries(source: str | Path) -> Iterator[Entry]:
    """The pieces of a source, in a fixed order, without reading the music.

    Args:
        source: "fiddle", "chorales" or "bands", which are at hand; else the path of a folder, zip
            or tar of any size, which may be a corpus that is known by its layout, or is said to be
            one ("pop909-performed:PATH", "maestro:PATH").

    Raises:
        InputError: the source does not exist or holds no music.
    """
    corpus, path = _named(str(source))
    if corpus in _PACKAGED and not path:
        yield from _PACKAGED[corpus]()
        return
    members = containers.members(path)
    seen: list[Member] = []
    held = 0
    for member in members:
        seen.append(member)
        held += len(member.data or b"")
        if len(seen) >= PEEK or held >= PEEK_BYTES:
            break
    row, wanted = _layout(corpus, [m.name for m in seen])
    found = _LISTERS.get(row.name, _pieces)(row, path, chain(seen, members), wanted)
    first = next(found, None)
    if first is None:
        kinds = ".mid, .abc, .musicxml, .npz ..." if row.name == "midi" else f"songs of {row.name}"
        raise InputError(path, f"holds no music files ({kinds}); give a folder with some in it")
    yield from chain([first], found)


def at_hand(corpus: Corpus) -> bool:
    """Whether a corpus can be asked for by its name alone."""
    return corpus.name in _PACKAGED or (corpus.name == "bands" and BANDS.is_dir())


def _named(source: str) -> tuple[str, str]:
    """The corpus that a source asks for, "" if it leaves that open, and the path, "" for none."""
    try:
        if Path(source).exists():
            return "", source
    except OSError as error:  # a name that no file can have
        raise InputError(source, f"cannot be read ({error.strerror})") from None
    if source in _PACKAGED:
        return source, ""
    if source == "bands":
        if not BANDS.is_dir():
            raise InputError(
                source, f"{BANDS} is not there; clone the repository or use bands:PATH"
            )
        return source, str(BANDS)
    name, colon, path = source.partition(":")
    if colon and path and name in CORPORA and CORPORA[name].layouts:
        return name, path
    return "", source


def _layout(corpus: str, names: list[str]) -> tuple[Corpus, str]:
    """The corpus that a container holds and the pattern of its pieces."""
    rows = [CORPORA[corpus]] if corpus else [c for c in CORPORA.values() if c.name != _FREELY]
    for row in rows:
        for mark, wanted in row.layouts:
            if any(re.search(mark, name) for name in names):
                return row, wanted
    return rows[-1], rows[-1].layouts[0][1]


def _pieces(row: Corpus, path: str, members: Iterable[Member], wanted: str) -> Iterator[Entry]:
    """An entry for each piece; for a book of tunes, one for each tune."""
    for m in members:
        if not m.fault and not re.search(wanted, m.name):
            continue
        name = m.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        song = re.search(row.version, m.name) if row.version else None
        cluster = song.group(1) if song else ""
        entry = Entry(row.name, name, path, m.name, m.data, m.span, fault=m.fault)
        entry = replace(entry, cluster=cluster, split=_part(row, m.name))
        yield from _tunes(entry) if name.lower().endswith(".abc") and not m.fault else [entry]


def _part(row: Corpus, member: str) -> str:
    return "test" if member.endswith(row.samples) and row.samples else ""


def _tunes(entry: Entry) -> Iterator[Entry]:
    try:
        text = readers.content(entry).decode("utf-8", "replace")
    except InputError as error:
        yield replace(entry, fault=error.reason)
        return
    found = readers.tunes(text)
    if len(found) < 2:
        yield replace(entry, title=found[0][1] if found else "")
        return
    for i, (tune, title) in enumerate(found):
        name = f"{entry.name}#{i}"
        yield replace(entry, name=name, data=tune.encode(), span=None, title=title)


def _pop909(row: Corpus, path: str, members: Iterable[Member], wanted: str) -> Iterator[Entry]:
    """Songs; in a tar, where nothing can be looked up, with the files beside them."""
    waiting = []
    held: dict[str, dict[str, bytes]] = {}
    for entry in _pieces(row, path, members, wanted + r"|(beat|chord)_midi\.txt$"):
        folder = entry.member.rpartition("/")[0]
        if not re.search(wanted, entry.member) and not entry.fault:
            if entry.data is not None or entry.span:
                held.setdefault(folder, {})[entry.member] = readers.content(entry)
        elif entry.data is None and entry.span is None:
            yield entry
        else:
            waiting.append((folder, entry))
    for folder, entry in waiting:
        beside = tuple(sorted(held.get(folder, {}).items()))
        yield entry if entry.fault else replace(entry, data=readers.content(entry), beside=beside)


def _maestro(row: Corpus, path: str, members: Iterable[Member], wanted: str) -> Iterator[Entry]:
    """Performances with the parts and titles that the corpus' own list gives them."""
    mark = row.layouts[0][0]
    table = next((m for m in containers.members(path) if re.search(mark, m.name)), None)
    if table is None:
        raise InputError(path, "expected MAESTRO with its list maestro-v*.csv, which has the split")
    entry = Entry(row.name, table.name, path, table.name, table.data, table.span)
    rows = csv.DictReader(io.StringIO(readers.content(entry).decode("utf-8", "replace")))
    listed = {row.get("midi_filename", ""): row for row in rows}
    root = table.name.rpartition("/")[0]
    for entry in _pieces(row, path, members, wanted):
        known = listed.get(entry.member[len(root) + 1 if root else 0 :])
        if known is None or known.get("split") not in _PARTS:
            yield replace(entry, fault=entry.fault or f"{table.name} does not say its part")
            continue
        title = f"{known.get('canonical_composer')} {known.get('canonical_title')}"
        yield replace(entry, split=_PARTS[known["split"]], title=title)


def _fiddle() -> Iterator[Entry]:
    """Fiddle tunes in duple metre from the ABC collections of the music21 wheel, repeats once.

    Tunes in 2/4 get doubled note values, as the same dances are written in C| elsewhere.
    """
    for folder in ("ryansMammoth", "oneills1850", "airdsAirs", "miscFolk"):
        for path in sorted((_music21() / folder).glob("*.abc")):
            text = path.read_text("utf-8", "replace")
            for i, (tune, title) in enumerate(readers.tunes(text)):
                name = f"{folder}/{path.stem}#{i}"
                yield Entry("fiddle", name, str(path), f"#{i}", tune.encode(), title=title)


def _chorales() -> Iterator[Entry]:
    """The .mxl files; three chorales in .krn, whose encoding reserves all rights, stay out."""
    folder = _music21() / "bach"
    for path in sorted(folder.glob("*.mxl")):
        part = _part(CORPORA["chorales"], path.name)
        yield Entry("chorales", f"bach/{path.stem}", str(folder), path.name, split=part)


def _music21() -> Path:
    import music21

    return Path(music21.__file__).parent / "corpus"


_FREELY = "pop909-performed"
_PARTS = {"train": "train", "validation": "valid", "test": "test"}
_PACKAGED = {"fiddle": _fiddle, "chorales": _chorales}
_LISTERS = {"pop909": _pop909, _FREELY: _pop909, "maestro": _maestro}
