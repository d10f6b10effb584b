"""Sizes of the recurrent networks, which are both in torch (`models`) and in NumPy (`runtime`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Runs: TypeAlias = tuple[tuple[int, int], ...]  # (step, count), one run after the other, from 0
HEAD = 32  # units of a head of MusicVAE's attention
LEAST = 1 / 127  # velocity of a hit of GrooVAE
SPREAD = 0.5  # of its prior's posteriors; better than 1 on validation songs (docs/results.md)


@dataclass(frozen=True)
class MusicVAEConfig:
    """Sizes of a MusicVAE.

    Attributes:
        vocab: number of symbols of each voice; each has a decoder of its own.
        steps: length of a sequence.
        latent: size of z.
        encoder: units of the encoder LSTM, per direction.
        decoder: units of each layer of the decoder LSTM.
        embedding: size of the symbol table in encoder and decoder; 0 for one-hot vectors.
        readout: "last" as published; "steps" for a projection of each step in the encoder and a
            view of z at each step in the decoder, "encoder" for the former alone (see the module).
        view: size of that view, and of the encoder's projection at each step (not for "last").
        layers: layers of the encoder LSTM.
        segments: parts of a sequence (bars) that a conductor leads; 1 for the flat decoder.
        conductor: units of each layer of the conductor LSTM (segments above 1 only).
        context: size of what the conductor tells a segment; 0 for its last layer's units.
        encode_segments: whether the encoder is hierarchical too.
        heard: parts that a hierarchical encoder reads, where not the decoder's; 0 for `segments`.
            Such a network takes the encoder of the one that it begins with, and leaves it as it is.
        unconditional: whether the decoder is a language model too (see the module).
        recall: layers of attention from a segment to those before it, for that language model
            (with segments and encode_segments only, and without heard).
        control: size of what encoder and decoder are given at each step beside their inputs: 36
            for chords (see `representations.chords.Chords`), 0 for nothing.
        heed: whether each voice but the first hears those before it, a step at a time.
        shift: largest transposition in training, up or down, which the language model is told.
        styles: names of the kinds of music that the prior tells apart, most frequent first.
        shares: their frequencies. These three are filled in by training.
    """

    vocab: tuple[int, ...] = (90,)
    steps: int = 32
    latent: int = 256
    encoder: int = 512
    decoder: tuple[int, ...] = (256, 256)
    embedding: int = 0
    readout: Literal["last", "steps", "encoder"] = "last"
    view: int = 64
    layers: int = 1
    segments: int = 1
    conductor: tuple[int, ...] = ()
    context: int = 0
    encode_segments: bool = False
    heard: int = 0
    unconditional: bool = False
    recall: int = 0
    control: int = 0
    heed: bool = False
    shift: int = 0
    styles: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def told(self) -> int:
        """Size of what a segment is decoded from: z itself, or the conductor's embedding."""
        return (self.context or self.conductor[-1]) if self.segments > 1 else self.latent

    @property
    def reads_steps(self) -> bool:
        """Whether the posterior sees each step, not the encoder's last states."""
        return self.readout != "last"

    @property
    def views_steps(self) -> bool:
        """Whether the decoder has a view of z for each step, not z itself."""
        return self.readout == "steps"

    @property
    def beside(self) -> tuple[int, ...]:
        """Size of what each voice is given at each step: symbols of voices before it, `control`."""
        tables = [self.embedding or size for size in self.vocab]
        heard = [sum(tables[:k]) if self.heed else 0 for k in range(len(tables))]
        return tuple(size + self.control for size in heard)

    @property
    def parts(self) -> int:
        """How many parts of a sequence the encoder reads by themselves."""
        return (self.heard or self.segments) if self.encode_segments else 1

    @property
    def gist(self) -> int:
        """Size of what each of them is about."""
        return 2 * self.encoder if self.heard else self.told

    @property
    def ear(self) -> tuple[object, ...]:
        """All that says what the encoder's weights are."""
        sizes = (self.vocab, self.steps, self.latent, self.encoder, self.embedding, self.layers)
        return (*sizes, self.reads_steps, self.view, self.control, self.parts, self.gist)

    @property
    def part(self) -> MusicVAEConfig:
        """The flat model of a segment, whose weights a hierarchical one can begin with."""
        flat = replace(self, steps=self.steps // self.segments, latent=self.told, segments=1)
        return replace(flat, conductor=(), context=0, encode_segments=False, recall=0)


@dataclass(frozen=True)
class CRNNGANConfig:
    """Sizes.

    Attributes:
        steps: cells in training.
        numbers: numbers in a cell: 4, or 10 for three tones.
        head: "numbers" as published, or "events" (for cells of 4 numbers).
        hidden: units of each LSTM of the generator.
        layers: LSTMs of the generator.
        width: of embeddings and of what is between states and marks, "events" only.
        critic: units of each direction of the critic's LSTMs.
        critic_layers: LSTMs of the critic.
        critic_width: units between what the critic sees and its LSTMs; 0 for none.
        decision: what the critic averages: "probability" of each cell, or its "score".
        kernels: of minibatch discrimination (Salimans et al. 2016), 0 for none; published: 25.
        kernel_size: numbers of each of them.
        spectral: divide the critic's weights by their largest singular values (Miyato et al. 2018);
            in LSTMs those of inputs and of states, one matrix for all gates.
        dropout: between LSTMs, in training.
        times: runs (step, count) of ticks, the marks of times between events.
        lengths: the same for lengths of tones.
        pitches: lowest pitch and how many.
        intensities: velocities from one mark to the next, and marks.
        slots: places in a bar that the generator hears; 0 for none.
        bar: ticks of a bar of four quarters.
        condition: "none"; "beats": what is told about each quarter (chords); "rhythm": times and
            lengths of the events are told, pitches and intensities are made.
        cues: numbers told about each beat.
    """

    steps: int = 100
    numbers: int = 4
    head: Literal["numbers", "events"] = "events"
    hidden: int = 256
    layers: int = 2
    width: int = 128
    critic: int = 128
    critic_layers: int = 1
    critic_width: int = 64
    decision: Literal["probability", "score"] = "score"
    kernels: int = 0
    kernel_size: int = 10
    spectral: bool = False
    dropout: float = 0.0
    times: Runs = ((8, 48), (32, 36), (384, 12))
    lengths: Runs = ((8, 24), (16, 24), (48, 24), (192, 12), (768, 4))
    pitches: tuple[int, int] = (21, 88)
    intensities: tuple[int, int] = (4, 32)
    slots: int = 48
    bar: int = 1536
    condition: Literal["none", "beats", "rhythm"] = "none"
    cues: int = 36

    @property
    def told(self) -> int:
        """Numbers told about each event; of a rhythm time, length and the time to the next."""
        return {"none": 0, "beats": self.cues, "rhythm": 3}[self.condition]


@dataclass(frozen=True)
class GrooVAEConfig:
    """Sizes of a GrooVAE.

    Attributes:
        classes: kinds of hits.
        steps: length of a sequence.
        latent: size of z.
        encoder: units of the encoder LSTM, per direction.
        decoder: units of each layer of the decoder LSTM.
        reads: what the encoder sees: "hits", "tap" or the whole "groove".
        control: what the decoder is shown of each step: "hits", "tap" or nothing ("").
        ahead: further steps of which it is shown that.
        bar: steps of a bar, whose place is told; 0 to tell nothing.
        dropout: share of the outputs of each LSTM that is dropped in training.
    """

    classes: int = 9
    steps: int = 32
    latent: int = 256
    encoder: int = 512
    decoder: tuple[int, ...] = (256, 256)
    reads: Literal["hits", "tap", "groove"] = "hits"
    control: Literal["", "hits", "tap"] = ""
    ahead: int = 0
    bar: int = 0
    dropout: float = 0.7

    @property
    def source(self) -> str:
        """What it plays from when it makes music: "hits" or "tap"."""
        return self.control or self.reads
