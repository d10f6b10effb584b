"""Readers: from the bytes of a file in each format to a Score. `musegen.midi.read` chooses."""
