"""MuseGAN's tables at small sizes: compositions, and what becomes of "band" without its parts.

    python benchmarks/ablations.py --data data/band [--steps 400] [--only "jamming;composer"]

Each variant is the preset "band" with half the channels and a few settings, trained on the same
windows from the same seed for the same steps; half of these are its start as a decoder. Thresholds
are fitted to training music as those of the shipped bundle. What is printed are the distances of
phrases from noise from training music as `musegen evaluate` counts them, the accuracy of the
classifier that tells both apart, and shares of phrases. Runs are kept, so that the same command
goes on where it was stopped, or prints the table again.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from musegen import dataset
from musegen.config import override
from musegen.errors import MusegenError
from musegen.evaluate.musegan import PAPER, Evaluation, evaluate, thresholds
from musegen.models.musegan import MuseGANConfig
from musegen.optimisation import set_up_cpu
from musegen.presets import preset
from musegen.pretrained import Bundle
from musegen.train import Stopped, train

SMALL = (
    "model.latent=128",
    "model.temporal=128",
    "model.hidden=96",
    "model.start=[4,6,16]",
    "model.reader=192",
    "model.given=none",
    "model.critic.private=[[[24,4,12]]]",
    "model.critic.shared=[[32,1,1]]",
    "model.critic.chroma=[16,32]",
    "model.critic.onsets=[[8,4,1],[32,4,1]]",
    "model.critic.bar=128",
    "model.critic.phrase=[128,4]",
)
# Without a plane of onsets there are five densities, of cells that sound; drums as they are struck.
ONE_PLANE = ("onsets=false", "density=[0.0137,0.003,0.009,0.005,0.013]")
GAN = ("model.reader=0", "objective.warm=0", "objective.recall=0.0")
VARIANTS: dict[str, tuple[str, ...]] = {
    "hybrid": (),
    "hybrid, another seed": (),
    "composer": ("model.composition=composer",),
    "jamming": ("model.composition=jamming", "model.critic.separate=true"),
    "no private streams": ("model.critic.own=false",),
    "no chroma stream": ("model.critic.chroma=[]",),
    "no onset stream": ("model.critic.onsets=[]",),
    "bars scored one by one": ("model.critic.phrase=[]",),
    "one plane": ("representation.onsets=false", *(f"model.{s}" for s in ONE_PLANE)),
    "all keys": ("model.home=false",),
    "a critic from the start": ("objective.warm=0",),
    "nothing read from music": GAN,
    "the same, WGAN-GP": (
        *GAN,
        "objective.loss=wasserstein",
        "objective.regulariser=gradient-penalty",
        "objective.weight=5.0",
        "objective.interval=1",
    ),
    "with given tracks": ("model.given=some", "model.encoder=8", "model.harmony=16"),
}


def measured(name: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Train a variant and measure its phrases and the held-out ones, or read what was found."""
    run = Path(options.out) / name.replace(",", "").replace(" ", "-")
    kept = run / f"found-{options.n}.json"
    if kept.exists():
        found: dict[str, dict[str, float]] = json.loads(kept.read_text())
        return found
    steps = options.steps
    settings = [*SMALL, f"training.steps={steps}", f"objective.warm={steps // 2}"]
    settings += [f"training.batch={options.batch}", *VARIANTS[name]]
    one = override(preset("band"), settings)
    parts = ("train", "valid", options.part)
    learned, valid, held_out = (dataset.load(options.data, p, one.representation) for p in parts)
    seed = options.seed + (name == "hybrid, another seed")
    start = time.process_time()
    model = train(one, learned, valid, run, seed=seed, every=steps, device="cpu")
    spent = time.process_time() - start
    plain = Bundle(name, model, one.representation, {}, "musegan")
    fitted = {"thresholds": thresholds(plain, learned, n=96)}
    assert isinstance(one.model, MuseGANConfig)
    if one.model.given != "none":
        fitted["thresholds_given"] = thresholds(plain, learned, n=96, given=True)
    bundle = replace(plain, info=fitted)
    result = evaluate(bundle, held_out, learned, n=options.n, seed=options.seed)
    found = {of: row(result, of) | {"seconds": spent} for of in result.variety}
    kept.write_text(json.dumps(found))
    return found


def row(result: Evaluation, of: str) -> dict[str, float]:
    """A line of the table of one set of phrases."""
    octave, paper = (result.distances[mode][of] for mode in ("octave", "paper"))
    return {
        **{m: octave[m] for m in PAPER},
        "QN paper": paper["QN"],
        "TD paper": paper["TD"],
        "told apart": result.coverage[of],
        "distinct": result.variety[of]["distinct"],
        "near": result.variety[of]["near"],
        "mean IoU": result.variety[of]["within"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a prepared folder of bands of four bars")
    parser.add_argument("--out", default="runs/ablations", help="folder of the runs")
    parser.add_argument("--only", default="", help="names of variants, with ; between")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", type=int, default=512, help="phrases that are measured")
    parser.add_argument("--part", default="test")
    options = parser.parse_args()
    set_up_cpu()
    names = options.only.split(";") if options.only else list(VARIANTS)
    for i, name in enumerate(names):
        try:
            found = measured(name, options)
        except Stopped:
            raise
        except MusegenError as error:  # a critic that died, say
            print(f"| {name} | {error} |", flush=True)
            continue
        if not i:
            head = list(found["held-out"])
            print(f"| variant | {' | '.join(head)} |")
            print("|---" * (len(head) + 1) + "|")
            shown("held-out songs", found["held-out"])
        shown(name, found["from noise"])
        for of in found.keys() - {"held-out", "from noise"}:
            shown(f"{name}: {of}", found[of])


def shown(name: str, found: dict[str, float]) -> None:
    cells = (f"{v:.0f}" if k == "seconds" else f"{v:.3f}" for k, v in found.items())
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
