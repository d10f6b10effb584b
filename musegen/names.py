"""Names: General MIDI's instruments and drums, pitches, keys; and text that fits into a line."""

from __future__ import annotations

PROGRAMS = tuple(
    name.strip()
    for name in """
    Acoustic Grand Piano, Bright Acoustic Piano, Electric Grand Piano, Honky-tonk Piano,
    Electric Piano 1, Electric Piano 2, Harpsichord, Clavinet,
    Celesta, Glockenspiel, Music Box, Vibraphone,
    Marimba, Xylophone, Tubular Bells, Dulcimer,
    Drawbar Organ, Percussive Organ, Rock Organ, Church Organ,
    Reed Organ, Accordion, Harmonica, Tango Accordion,
    Acoustic Guitar (nylon), Acoustic Guitar (steel),
    Electric Guitar (jazz), Electric Guitar (clean),
    Electric Guitar (muted), Overdriven Guitar, Distortion Guitar, Guitar Harmonics,
    Acoustic Bass, Electric Bass (finger), Electric Bass (pick), Fretless Bass,
    Slap Bass 1, Slap Bass 2, Synth Bass 1, Synth Bass 2,
    Violin, Viola, Cello, Contrabass,
    Tremolo Strings, Pizzicato Strings, Orchestral Harp, Timpani,
    String Ensemble 1, String Ensemble 2, Synth Strings 1, Synth Strings 2,
    Choir Aahs, Voice Oohs, Synth Choir, Orchestra Hit,
    Trumpet, Trombone, Tuba, Muted Trumpet,
    French Horn, Brass Section, Synth Brass 1, Synth Brass 2,
    Soprano Sax, Alto Sax, Tenor Sax, Baritone Sax,
    Oboe, English Horn, Bassoon, Clarinet,
    Piccolo, Flute, Recorder, Pan Flute,
    Blown Bottle, Shakuhachi, Whistle, Ocarina,
    Lead 1 (square), Lead 2 (sawtooth), Lead 3 (calliope), Lead 4 (chiff),
    Lead 5 (charang), Lead 6 (voice), Lead 7 (fifths), Lead 8 (bass + lead),
    Pad 1 (new age), Pad 2 (warm), Pad 3 (polysynth), Pad 4 (choir),
    Pad 5 (bowed), Pad 6 (metallic), Pad 7 (halo), Pad 8 (sweep),
    FX 1 (rain), FX 2 (soundtrack), FX 3 (crystal), FX 4 (atmosphere),
    FX 5 (brightness), FX 6 (goblins), FX 7 (echoes), FX 8 (sci-fi),
    Sitar, Banjo, Shamisen, Koto,
    Kalimba, Bagpipe, Fiddle, Shanai,
    Tinkle Bell, Agogo, Steel Drums, Woodblock,
    Taiko Drum, Melodic Tom, Synth Drum, Reverse Cymbal,
    Guitar Fret Noise, Breath Noise, Seashore, Bird Tweet,
    Telephone Ring, Helicopter, Applause, Gunshot
    """.split(",")  # noqa: SIM905 - a table reads better
)
LOWEST_DRUM = 35
DRUMS = tuple(
    name.strip()
    for name in """
    Bass Drum 2, Bass Drum 1, Side Stick, Snare 1, Hand Clap, Snare 2, Low Floor Tom, Closed Hi-Hat,
    High Floor Tom, Pedal Hi-Hat, Low Tom, Open Hi-Hat, Low-Mid Tom, High-Mid Tom, Crash 1,
    High Tom, Ride 1, China, Ride Bell, Tambourine, Splash, Cowbell, Crash 2, Vibraslap, Ride 2,
    High Bongo, Low Bongo, Mute High Conga, Open High Conga, Low Conga, High Timbale, Low Timbale,
    High Agogo, Low Agogo, Cabasa, Maracas, Short Whistle, Long Whistle, Short Guiro, Long Guiro,
    Claves, High Woodblock, Low Woodblock, Mute Cuica, Open Cuica, Mute Triangle, Open Triangle
    """.split(",")  # noqa: SIM905 - a table reads better
)


def drum_name(pitch: int) -> str:
    """Of a key of the drum channel; keys outside General MIDI are named by their number."""
    inside = LOWEST_DRUM <= pitch < LOWEST_DRUM + len(DRUMS)
    return DRUMS[pitch - LOWEST_DRUM] if inside else f"key {pitch}"


def instrument_name(program: int, is_drum: bool = False) -> str:
    """Of a program, 0 to 127, or "Drums"."""
    return "Drums" if is_drum else PROGRAMS[program]


_PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FIFTHS = "Cb Gb Db Ab Eb Bb F C G D A E B F# C# G# D# A#".split()  # noqa: SIM905


def pitch_name(pitch: int) -> str:
    """60 is C4."""
    return f"{_PITCHES[pitch % 12]}{pitch // 12 - 1}"


def key_name(sharps: int, is_minor: bool) -> str:
    """Of a key signature of -7 to 7 sharps: "D", "Bm"."""
    return _FIFTHS[sharps + 7 + 3 * is_minor] + "m" * is_minor


def plain(text: str, most: int) -> str:
    """Text in one line of at most `most` letters, without what cannot be printed."""
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
