"""Music to hear: files of sound, and notes to a MIDI port.

synth   a small synthesiser of arrays: every instrument recognisable, no sample, no soundfont
render  a score to a WAV file, by FluidSynth where it is, else by the synthesiser
play    a score to a MIDI port in time, and a loop of ever new pieces (extra `[midi]`)
"""
