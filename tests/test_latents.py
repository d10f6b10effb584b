"""Diffusion over latents: the network, training it above a MusicVAE, and its verbs."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from musegen import dataset, models, pretrained
from musegen.errors import InputError, ModelError, MusegenError, NothingGeneratedError
from musegen.evaluate import measure
from musegen.evaluate.latents import returns
from musegen.fitting import begin, fitted
from musegen.metrics import scale_consistency
from musegen.models.latents import LatentDenoiser, LatentsConfig
from musegen.objectives import Batch
from musegen.objectives.diffusion import Diffusion
from musegen.pipeline import PIPELINES, default, load
from musegen.pipeline.songs import SongPipeline
from musegen.prepare import prepare
from musegen.prepare.windows import Settings
from musegen.presets import Preset, Training, check, preset
from musegen.representations.events import NOTE_OFF, Melody, transpose
from musegen.samplers import Plan
from musegen.schedules import Schedule
from musegen.score import ONSET, Score, Track
from musegen.train import train

BARS = 8
BAR = 4 * 480
QUICK: dict[str, Any] = {"steps": 3, "seed": 3}
SCHEDULE = Schedule("cosine", 100)
PRESET = Preset(
    "tiny latents",
    LatentsConfig(tiny.PRESET.model, 4, kept=6, width=32, layers=1, schedule=SCHEDULE),
    Melody(BARS),
    Diffusion(SCHEDULE, "v", spread=True),
    Training(6, 8, lr=1e-2, ema=0.5, transpose=1),
)


@cache
def data(part: str = "train") -> dataset.Windows:
    folder = tiny.FOLDER / "latents"
    if not folder.exists():
        prepare([tiny.SAMPLES], folder, Settings(bars=BARS, rests=2), held_out=(0.25, 0.25))
    return dataset.load(folder, part, PRESET.representation)


@cache
def bundle() -> Path:
    """A trained-looking bundle: random weights on top of a random autoencoder."""
    init = pretrained.load(tiny.bundle())
    torch.manual_seed(0)
    model = models.build(fitted(PRESET, data(), init).model)
    begin(model, init, data())
    for p in model.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.15)
    info = tiny.INFO | {"verbs": list(SongPipeline.can(model.config))}
    return pretrained.save(tiny.FOLDER / "tiny-latents", model, PRESET.representation, info)


@cache
def pipeline() -> SongPipeline:
    made = load(str(bundle()))
    assert isinstance(made, SongPipeline)
    return made


@cache
def song(bars: int = 5, ppq: int = 480) -> Score:
    """A tune whose notes are off the grid and cross bars, a bass and a drum."""
    rng = np.random.default_rng(1)
    onsets = np.arange(0, bars * 4 * ppq, 3 * ppq // 4)
    shaken = (onsets + rng.integers(-20, 20, len(onsets))).clip(0)
    lengths = np.minimum(ppq, bars * 4 * ppq - shaken)
    pitches, loud = rng.integers(60, 80, len(onsets)), rng.integers(40, 120, len(onsets))
    tune = np.column_stack([shaken, lengths, pitches, loud])
    bass = np.array([(b * 4 * ppq, 4 * ppq, 36 + b, 61) for b in range(bars)])
    drum = np.array([(b * ppq, 60, 36, 100) for b in range(4 * bars)])
    tracks = (
        Track(tune, 40, name="Fiddle melody"),
        Track(bass, 33, name="Bass"),
        Track(drum, 0, True, "Kit"),
    )
    return Score(tracks, ppq, ((0, 97.0),), length=bars * 4 * ppq)


def rows(score: Score, keep: Any = None) -> set[tuple[int, ...]]:
    found = {(i, *map(int, n)) for i, t in enumerate(score.tracks) for n in t.notes}
    return {r for r in found if keep is None or keep(r)}


def network() -> LatentDenoiser:
    made = pipeline().model
    assert isinstance(made, LatentDenoiser)
    return made


def melodies(n: int = 3) -> Tensor:
    return torch.from_numpy(data().encode(np.arange(n)))


def test_dimensions_that_the_autoencoder_uses_are_kept_in_its_units() -> None:
    """Means of 0, a variance of 1 on the whole, and each dimension in its posterior's spread."""
    model, every = network(), torch.from_numpy(data().encode(np.arange(len(data()))))
    z = model.latents(every).flatten(0, 1)
    torch.testing.assert_close(z.mean(0), torch.zeros(6), atol=1e-2, rtol=0)
    assert float(z.var(0).mean()) == pytest.approx(1, abs=1e-2)
    mean, spread = model.autoencoder.encode(model._windows(every))
    least, kept = spread.mean(0).sort().values, model.index
    assert spread.mean(0)[kept].max() <= least[5] + 1e-3
    in_spreads = (mean.std(0) / spread.mean(0))[kept]
    ratio = z.std(0) / in_spreads
    torch.testing.assert_close(ratio, ratio.mean().expand(6), rtol=1e-2, atol=0)


def test_what_is_written_is_what_the_autoencoder_makes_of_the_kept_dimensions() -> None:
    model, x = network(), melodies()
    z = model.latents(x)
    mean, _ = model.autoencoder.encode(x.long().reshape(-1, 32))
    other = [i for i in range(8) if i not in model.index.tolist()]
    mean[:, other] = model.mean[other]
    expected = model.autoencoder.decode(mean, torch.Generator(), 0.0).reshape(len(x), -1)
    assert (model.write(z, torch.Generator()) == expected).all()


def test_a_note_off_on_a_border_between_windows_comes_a_step_later() -> None:
    x = torch.zeros(1, 64, dtype=torch.uint8)
    x[0, [4, 32, 36]] = torch.tensor([40, NOTE_OFF, 42], dtype=torch.uint8)
    windows = network()._windows(x)
    assert windows[1].nonzero().flatten().tolist() == [1, 4]
    x[0, 33] = 50  # another note begins there
    assert network()._windows(x)[1].nonzero().flatten().tolist() == [0, 1, 4]


def test_remembered_windows_are_those_that_would_be_encoded() -> None:
    init = pretrained.load(tiny.bundle())
    model = models.build(fitted(PRESET, data(), init).model)
    assert isinstance(model, LatentDenoiser)
    begin(model, init, data(), 1)
    x = transpose(data().encode(np.arange(7)), np.array([1, -1, 0, 1, 1, 0, -1]))
    windows = model._windows(torch.from_numpy(x))
    assert all(row.to(torch.int16).numpy().tobytes() in model._places for row in windows)
    remembered = model.latents(torch.from_numpy(x)).flatten(0, 1)
    torch.testing.assert_close(remembered, model._latents(windows))
    x[0, 3] = 89  # never seen
    torch.testing.assert_close(
        model.latents(torch.from_numpy(x)).flatten(0, 1),
        model._latents(model._windows(torch.from_numpy(x))),
    )
    assert not any("remember" in name for name in model.state_dict())


def test_only_distances_between_windows_count() -> None:
    """Far from its ends, what a block makes of a sequence moves along with it."""
    model = network()
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 6, generator=g)
    t = torch.tensor([50])
    alone = model(x, t)
    assert alone.abs().max() > 0.01
    swapped = model(x.flip(1), t)
    assert not torch.allclose(swapped.flip(1), alone, atol=1e-4)  # order means something
    one, other = model(x[:, :1], t), model(x[:, :1].repeat(1, 3, 1), t)
    torch.testing.assert_close(other[:, 1], one[:, 0])  # equal windows know nothing new


def test_a_new_network_says_nothing() -> None:
    config = replace(PRESET.model, width=64)
    model = LatentDenoiser(config)  # type: ignore[arg-type]
    x = torch.randn(2, 4, 6)
    assert not model(x, torch.tensor([3, 90])).any()


def test_training_learns_and_leaves_the_autoencoder_alone() -> None:
    init = pretrained.load(tiny.bundle())
    torch.manual_seed(0)
    model = models.build(fitted(PRESET, data(), init).model)
    assert isinstance(model, LatentDenoiser)
    begin(model, init, data())
    x = torch.from_numpy(data().encode(np.arange(8)))
    batch = Batch(x, torch.zeros(8), torch.zeros(8))
    phase = PRESET.objective.phases(model)[0]
    frozen = {id(p) for p in model.autoencoder.parameters()}
    assert not frozen & {id(p) for p in phase.parameters}
    before = {k: v.clone() for k, v in model.autoencoder.state_dict().items()}

    def held_out() -> float:
        noise = torch.Generator().manual_seed(1)
        with torch.no_grad():
            return float(PRESET.objective.held_out(model, batch, noise)["loss"])

    first = held_out()
    adam = torch.optim.AdamW(phase.parameters, lr=1e-2)
    for step in range(100):
        adam.zero_grad()
        phase.loss(batch, step, torch.Generator().manual_seed(step))["loss"].backward()
        adam.step()
    assert first == pytest.approx(1, abs=0.3)  # v of normalised latents
    assert held_out() < 0.8 * first
    after = model.autoencoder.state_dict()
    assert all((before[k] == after[k]).all() for k in before)


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    init = pretrained.load(tiny.bundle())
    whole = train(PRESET, data(), data("valid"), tmp_path / "a", every=3, init=init)

    class Enough(Exception):
        pass

    def stop(progress: Any) -> None:
        if progress.step == 4:
            raise Enough

    options: dict[str, Any] = {"every": 3, "init": init}
    with pytest.raises(Enough):
        train(PRESET, data(), data("valid"), tmp_path / "b", report=stop, **options)
    again = train(PRESET, data(), data("valid"), tmp_path / "b", **options)
    one, other = whole.state_dict(), again.state_dict()
    assert all((one[k] == other[k]).all() for k in one)
    logs = [(tmp_path / d / "log.jsonl").read_text().splitlines() for d in "ab"]
    assert len(logs[0]) == 2
    one_log, other_log = ([json.loads(row)["held_out"] for row in log] for log in logs)
    assert one_log == other_log


def test_a_run_goes_on_from_a_bundle_of_its_own() -> None:
    own = pretrained.load(bundle())
    found = fitted(PRESET, data(), own)
    model = models.build(found.model)
    begin(model, own, data())
    theirs = own.model.state_dict()
    assert all((v == theirs[k]).all() for k, v in model.state_dict().items())


def test_training_wants_an_autoencoder_of_its_windows() -> None:
    with pytest.raises(MusegenError, match="--init melody-2bar"):
        fitted(PRESET, data(), None)
    drums = pretrained.load(tiny.bundle())
    other = replace(drums, name="drums", model=models.build(tiny.config(vocab=(512,))))
    with pytest.raises(MusegenError, match="not of melodies of 2 bars"):
        fitted(PRESET, data(), other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": replace(PRESET.model, windows=3)}, "model.windows"),
        ({"model": replace(PRESET.model, kept=9)}, "model.kept"),
        ({"objective": Diffusion(SCHEDULE, "noise")}, "same schedule"),
        ({"representation": Melody(6)}, "model.windows"),
    ],
)
def test_settings_that_contradict_each_other(changes: dict[str, Any], words: str) -> None:
    check(PRESET)
    check(preset("melody_32bar_small"))
    with pytest.raises(MusegenError, match=words):
        check(replace(PRESET, **changes))


def test_a_bundle_holds_both_networks() -> None:
    one, two = pretrained.load(bundle()), pipeline().bundle
    config = json.loads((bundle() / "config.json").read_text())
    assert config["family"] == "latents"
    assert config["model"]["autoencoder"]["latent"] == 8
    x = melodies()
    noise = one.model.prior(2, torch.Generator().manual_seed(0))
    made = [
        m.decode(noise, torch.Generator().manual_seed(1), plan=Plan(3))
        for m in (one.model, two.model)
    ]
    assert (made[0] == made[1]).all()
    assert made[0].shape == (2, 32 * 4)
    torch.testing.assert_close(one.model.latents(x), network().latents(x))


def test_generate() -> None:
    heard: list[int] = []
    made = pipeline().generate(3, tempo=77.0, finished=lambda i, s: heard.append(i), **QUICK)
    assert heard == [0, 1, 2]
    for i, score in enumerate(made):
        assert score.length == BARS * BAR
        assert score.tempos == ((0, 77.0),)
        assert score.recipe["index"] == i
    assert pipeline().generate(3, tempo=77.0, **QUICK) == made
    assert rows(pipeline().generate(1, **QUICK)[0]) == rows(made[0])  # not of how many
    assert rows(pipeline().generate(1, steps=3, seed=4)[0]) != rows(made[0])


@pytest.mark.parametrize("bars", [3, 8, 19])
def test_melodies_of_any_length(bars: int) -> None:
    score = pipeline().generate(1, bars=bars, **QUICK)[0]
    assert score.length == bars * BAR
    assert max(t.end for t in score.tracks) <= bars * BAR
    assert score.tracks[0].notes[:, ONSET].max() > (bars - 3) * BAR


@pytest.mark.parametrize(("ppq", "bars"), [(480, 6), (96, 1)])
def test_what_was_there_stays_when_a_piece_goes_on(ppq: int, bars: int) -> None:
    piece = song(ppq=ppq)
    made = pipeline().continue_(piece, 2, bars=bars, **QUICK)
    old, end = rows(piece), 5 * 4 * ppq
    for score in made:
        assert rows(score, lambda r: r[1] < end) == old
        new = rows(score) - old
        assert new
        assert {r[0] for r in new} == {0}
        assert score.length == end + bars * 4 * ppq
        assert max(r[1] + r[2] for r in new) <= score.length
    assert bars == 1 or rows(made[0]) != rows(made[1])
    assert pipeline().continue_(piece, 2, bars=bars, **QUICK) == made


@pytest.mark.parametrize("sampler", ["dpm++2m", "heun"])
def test_samplers_that_cannot_go_back_make_each_step_once(sampler: str) -> None:
    how = QUICK | {"sampler": sampler}
    assert pipeline().continue_(song(), **how, resample=3) == pipeline().continue_(song(), **how)


@pytest.mark.parametrize(("bars", "first", "last"), [("2-3", 1, 3), ("4", 3, 4), ("1-5", 0, 5)])
def test_bars_anew_and_all_else_as_it_was(bars: str, first: int, last: int) -> None:
    made = pipeline().inpaint(song(), 2, bars=bars, **QUICK)
    inside = range(first * BAR, last * BAR)

    def kept(row: tuple[int, ...]) -> bool:
        return row[0] > 0 or row[1] not in inside

    early = rows(song(), lambda r: r[0] == 0 and r[1] in range(first * BAR - 60, first * BAR))
    for score in made:
        before = rows(song(), kept) - early  # just early is in the bar
        assert before <= rows(score)
        for row in rows(score) - before:
            assert row[0] == 0
            assert row[1] in range(first * BAR - 60, last * BAR)
            assert row[1] + row[2] <= last * BAR
        assert score.tempos == song().tempos
    assert rows(made[0]) != rows(made[1])


def test_vary() -> None:
    p = pipeline()
    assert [rows(s) for s in p.vary(song(), 2, amount=0, seed=1)] == [rows(song())] * 2
    made = p.vary(song(11), 2, amount=0.6, **QUICK)
    assert made == p.vary(song(11), 2, amount=0.6, **QUICK)
    for score in made:
        assert rows(score, lambda r: r[0] > 0) == rows(song(11), lambda r: r[0] > 0)
        assert max(t.end for t in score.tracks) <= 11 * BAR
        assert rows(score) != rows(song(11))
    with pytest.raises(InputError, match="amount"):
        p.vary(song(), amount=1.5, seed=1)


def test_bad_input() -> None:
    p = pipeline()
    three = replace(song(), metres=((0, 3, 4),))
    empty = Score((Track(np.zeros((0, 4), np.int64)),), length=BAR)
    for piece, words in ((three, "four quarters"), (empty, "no pitched notes")):
        with pytest.raises(InputError, match=words):
            p.continue_(piece, seed=1)
    with pytest.raises(InputError, match="has bars 1-5"):
        p.inpaint(song(), bars="5-9", seed=1)
    with pytest.raises(MusegenError, match="at most"):
        p.generate(1, bars=10_000, seed=1)
    with pytest.raises(ModelError, match="steps"):
        p.generate(1, steps=0, seed=1)
    with pytest.raises(ModelError, match="cannot accompany"):
        p.accompany(song(), seed=1)


def test_silence_is_no_music() -> None:
    one = pretrained.load(bundle())
    with torch.no_grad():
        one.model.autoencoder.voices[0].logits.bias[0] = 1000.0
    with pytest.raises(NothingGeneratedError, match="silence"):
        SongPipeline(one).generate(1, **QUICK)


def test_shipped_melodies_keep_a_key_as_windows_apart_do_not() -> None:
    """Mean share of the notes in the best major or minor scale; 32 bars, nothing longer silent."""
    song = load("melody-32bar")
    made = song.generate(12, seed=5)
    assert {s.length for s in made} == {32 * BAR}
    apart = load("melody-2bar").generate(12 * 16, seed=5)
    notes = [s.tracks[0].notes for s in apart]
    strung = [
        np.concatenate(
            [n + np.array([2 * BAR * i, 0, 0, 0]) for i, n in enumerate(notes[k : k + 16])]
        )
        for k in range(0, len(notes), 16)
    ]
    kept, mixed = (
        np.mean([scale_consistency(n)[0] for n in some])
        for some in ([s.tracks[0].notes for s in made], strung)
    )
    assert kept > mixed + 0.03
    for score in made:
        onsets = np.sort(score.tracks[0].notes[:, ONSET])
        assert np.diff(onsets, prepend=0, append=32 * BAR).max() <= 6 * BAR


def test_nobody_gets_it_who_does_not_ask() -> None:
    """Whatever ships, a verb that another family has is not taken by this one."""
    for verb in ("generate", "continue", "inpaint", "vary"):
        config = pretrained.read_config(pretrained.locate(default(verb)))
        assert config["family"] != "latents"
    assert PIPELINES["latents"] is SongPipeline


def test_evaluation() -> None:
    report = measure(pretrained.load(bundle()), data("valid"), data(), n=4, seed=0, steps=2)
    form = report.numbers["form"]
    assert form["held-out"]["pitch consistency"] == 1
    assert 0 <= report.numbers["reconstruction"] <= 1
    assert report.numbers["copies"]["held-out: phrases of 4 bars"] <= 1
    assert {"model", "windows apart", "real, windows exchanged"} <= set(report.numbers["overlap"])
    text = "\n".join(report.lines)
    assert "windows that return" in text
    assert "densities.png" in report.pictures


def test_windows_that_return() -> None:
    a, b = np.full(32, 0), np.full(32, 0)
    a[0], b[0] = 40, 41
    rest = np.zeros(32, int)
    x = np.stack([np.concatenate([a, b, a, a]), np.concatenate([a, b, rest, rest])])
    assert returns(x.astype(np.uint8), 32) == pytest.approx(2 / 4)
