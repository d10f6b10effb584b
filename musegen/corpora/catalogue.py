"""The named corpora: what they are, where they come from, and what their licences permit.

The licence columns are a reading of the corpora's own pages and files, not legal advice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from musegen.corpora import readers
from musegen.corpora.readers import Entry, Song

MIDI = r"(?i)\.(midi?|kar|rmi)$"
ANY = r"(?i)\.(midi?|kar|rmi|abc|musicxml|xml|mxl|json|npz)$"
_POP909 = r"(^|/)\d{3}/\d{3}\.mid$"  # versions/ holds other takes of the same songs
_TRACK = r"/(TR[A-Z0-9]{16})/"  # a song of the Million Song Dataset


@dataclass(frozen=True)
class Corpus:
    """What a named corpus is, under which terms, and how it is read.

    Attributes:
        name: what to call it.
        about: what is in it.
        source: where it comes from; `url` its official page.
        licence: of the files; `train`, `weights`, `files` say what it permits: to train on them, to
            give away weights trained on them, to give away the files.
        split: what keeps held-out music apart.
        reader: one entry into a Song.
        layouts: pairs of patterns: a file that marks a folder as this corpus, and the names of its
            pieces. The first that fits is taken. Without any, the corpus comes with a package.
        version: pattern of a path with a group that is equal for versions of one song.
        samples: pieces that lie in data/samples, too; they are always test, so demos are honest.
    """

    name: str
    about: str
    source: str
    url: str
    licence: str
    train: str
    weights: str
    files: str
    split: str
    reader: Callable[[Entry], Song]
    layouts: tuple[tuple[str, str], ...] = ()
    version: str = ""
    samples: tuple[str, ...] = ()


_BY_NOTES = "by song; songs with equal titles or shared windows stay together"

CORPORA = {
    c.name: c
    for c in (
        Corpus(
            "pop909",
            about="909 pop songs: melody, bridge and piano, beats and chords",
            source="POP909 (Wang et al., ISMIR 2020), the folder or a zip of it",
            url="https://github.com/music-x-lab/POP909-Dataset",
            licence="MIT",
            train="yes",
            weights="yes, with credit",
            files="yes, with the licence",
            split=_BY_NOTES,
            reader=readers.pop909,
            layouts=((r"(^|/)beat_midi\.txt$", _POP909),),
        ),
        Corpus(
            "pop909-performed",
            about="POP909 as it was played, without beats: pop909-performed:PATH",
            source="POP909 (Wang et al., ISMIR 2020), the folder or a zip of it",
            url="https://github.com/music-x-lab/POP909-Dataset",
            licence="MIT",
            train="yes",
            weights="yes, with credit",
            files="yes, with the licence",
            split=_BY_NOTES,
            reader=readers.pop909_freely,
            layouts=(("", _POP909),),
        ),
        Corpus(
            "bands",
            about="85 songs of drums, bass, guitars, keys and strings",
            source="Freedoom and FreeDM 0.12.1; data/bands of this repository",
            url="https://freedoom.github.io",
            licence="BSD 3-clause",
            train="yes",
            weights="yes, with credit",
            files="yes, with licence and credits",
            split=_BY_NOTES,
            reader=readers.bands,
            layouts=((r"(^|/)freed(oom|m)[12]?[_/]D_\w+\.mid$", MIDI),),
            samples=(
                "freedoom/freedoom1_D_E1M1.mid",
                "freedoom/freedoom1_D_E2M3.mid",
                "freedoom/freedoom1_D_E3M4.mid",
                "freedoom/freedoom2_D_DDTBL2.mid",
                "freedoom/freedoom2_D_IN_CIT.mid",
                "freedm/D_RUNNIN.mid",
                "freedm/D_SHAWN3.mid",
            ),
        ),
        Corpus(
            "fiddle",
            about="2,669 fiddle tunes in duple metre, in ABC",
            source="ABC of Ryan 1883, O'Neill 1903, Aird 1778-1801 inside the music21 wheel",
            url="https://www.music21.org",
            licence="public-domain prints, transcribers credited",
            train="yes",
            weights="yes",
            files="a few tunes, with credit",
            split=_BY_NOTES + "; data/samples are test",
            reader=readers.as_written,
        ),
        Corpus(
            "chorales",
            about="364 chorales of J. S. Bach in four parts",
            source="MusicXML by M. Greentree inside the music21 wheel, by permission",
            url="https://www.music21.org",
            licence="public-domain music, encodings by permission",
            train="yes",
            weights="yes",
            files="a few, as bare notes",
            split="by tune: harmonisations whose sopranos begin alike stay together",
            reader=readers.chorale,
            samples=("bwv66.6.mxl", "bwv253.mxl", "bwv269.mxl", "bwv347.mxl"),
        ),
        Corpus(
            "nottingham",
            about="about 1,000 British and American folk tunes with chords, in ABC",
            source="Nottingham Music Database (E. Foxley), in ABC or as Jukedeck cleaned it",
            url="http://abc.sourceforge.net/NMD/",
            licence="none stated; GPL 3 as Jukedeck cleaned it",
            train="yes",
            weights="unclear: no terms, or share-alike",
            files="no",
            split=_BY_NOTES,
            reader=readers.as_written,
            layouts=(
                (r"(^|/)ABC_cleaned/[^/]+\.abc$", r"(^|/)ABC_cleaned/[^/]+\.abc$"),
                (r"(^|/)reelsa-c\.abc$", r"\.abc$"),
                (r"(^|/)ashover\d+\.mid$", r"^(?!.*(melody|chords)/).*\.mid$"),
            ),
        ),
        Corpus(
            "maestro",
            about="about 1,280 performances of piano music, with velocity and pedal",
            source="MAESTRO (Hawthorne et al., ICLR 2019), the folder or its zip of MIDI files",
            url="https://magenta.tensorflow.org/datasets/maestro",
            licence="CC BY-NC-SA 4.0",
            train="not for commercial use",
            weights="no: non-commercial and share-alike bind what is made from it",
            files="only under the same licence",
            split="its own: no work is in two parts",
            reader=readers.freely,
            layouts=((r"(^|/)maestro-v\d[\w.]*\.csv$", MIDI),),
        ),
        Corpus(
            "lpd",
            about="pianorolls of 21,425 (cleansed) to 174,154 songs in 5 or 17 tracks",
            source="Lakh Pianoroll Dataset (Dong et al., AAAI 2018), the .tar.gz as it is",
            url="https://hermandong.com/lakh-pianoroll-dataset/",
            licence="CC BY 4.0, not for the songs in it",
            train="yes",
            weights="unclear: most songs are under copyright",
            files="as you find them, with credit",
            split="by song of the Million Song Dataset, and as for any folder",
            reader=readers.as_written,
            layouts=((r"(^|/)[0-9a-f]{32}\.npz$", r"(^|/)[0-9a-f]{32}\.npz$"),),
            version=_TRACK,
        ),
        Corpus(
            "lakh",
            about="45,129 (matched) to 176,581 MIDI files of all kinds, named by MD5",
            source="Lakh MIDI Dataset (Raffel 2016), lmd_full or lmd_matched, the .tar.gz as it is",
            url="https://colinraffel.com/projects/lmd/",
            licence="CC BY 4.0, not for the songs in it",
            train="yes",
            weights="unclear: most songs are under copyright",
            files="as you find them, with credit",
            split="by song of the Million Song Dataset, and as for any folder",
            reader=readers.as_written,
            layouts=((r"(^|/)[0-9a-f]{32}\.mid$", r"(^|/)[0-9a-f]{32}\.mid$"),),
            version=_TRACK,
        ),
        Corpus(
            "midi",
            about="your music: MIDI, ABC, MusicXML, muspy JSON, pianorolls in .npz",
            source="any folder, zip or tar of music files",
            url="",
            licence="yours",
            train="yours to say",
            weights="yours to say",
            files="yours to say",
            split=_BY_NOTES,
            reader=readers.as_written,
            layouts=(("", ANY),),
        ),
    )
}
