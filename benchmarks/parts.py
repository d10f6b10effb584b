"""What parts of the shipped band do, by leaving one out, without training anything.

    python benchmarks/parts.py --data data/band

Distances of phrases from noise from training music, as `musegen evaluate` counts them, the pitch
classes that their pitched tracks share, on average over tracks (in training music in the last row),
and how the others agree with the track that is given. Thresholds and weights of the choice stay
those of the bundle but for the rows that have none, so that a row shows one change; a network that
was trained without a part could do better.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np

from musegen import dataset, pretrained
from musegen.evaluate.musegan import agree, evaluate
from musegen.models.musegan import MuseGAN
from musegen.optimisation import set_up_cpu
from musegen.pipeline.musegan import MuseGANPipeline, Roll
from musegen.pretrained import Bundle
from musegen.representations.pianoroll import Pianoroll


def setting(**values: object) -> Callable[[MuseGAN], None]:
    """A change of the model's settings."""

    def change(model: MuseGAN) -> None:
        model.config = replace(model.config, **values)

    return change


def deaf(name: str) -> Callable[[MuseGAN], None]:
    """A model without one of its networks for given tracks."""

    def change(model: MuseGAN) -> None:
        if name == "encode":
            model.encode = None
        else:
            delattr(model, name)

    return change


def shared(x: Roll, roll: Pianoroll) -> float:
    """Share of pitch classes that a pitched track has in common with others, mean over tracks."""
    pitched = [i for i in range(len(roll.trackset)) if i != roll.trackset.drums]
    return sum(agree(x, roll, i)["shared"] for i in pitched) / len(pitched)


PARTS: dict[str, Callable[[MuseGAN], None]] = {
    "as it ships": lambda model: None,
    "no choice of phrases": lambda model: None,
    "thresholds of 0.5": lambda model: None,
    "latents from one Gaussian": setting(apart=1.0),
    "latents as they were read": setting(apart=0.0),
    "no harmony network": deaf("harmony"),
    "no encoder of given tracks": deaf("encode"),
    "given music not moved to one key": setting(home=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a prepared folder of bands of four bars")
    parser.add_argument("--model", default="band-4bar")
    parser.add_argument("--part", default="test")
    parser.add_argument("-n", type=int, default=400, help="phrases that are measured")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    set_up_cpu()
    whole = pretrained.load(options.model)
    held_out, learned = (
        dataset.load(options.data, part, whole.representation) for part in (options.part, "train")
    )
    head = ["EB", "UPC", "QN paper", "TD", "TD paper", "told apart", "near", "shared"]
    head += ["TD around", "shared around"]
    print(f"| {options.model} | {' | '.join(head)} |\n{'|---' * (len(head) + 1)}|")
    for name, change in PARTS.items():
        model = deepcopy(whole.model)
        change(model)
        without = {"no choice of phrases": "choice", "thresholds of 0.5": "thresholds"}.get(name)
        info = {k: v for k, v in whole.info.items() if not without or not k.startswith(without)}
        one = Bundle(name, model, whole.representation, info, whole.family)
        found = evaluate(one, held_out, learned, n=options.n, seed=options.seed)
        far, paper = (found.distances[mode]["from noise"] for mode in ("octave", "paper"))
        agreed = found.agreement["generated"]
        cells = [far["EB"], far["UPC"], paper["QN"], far["TD"], paper["TD"]]
        drawn = MuseGANPipeline(one).rolls(options.n, seed=options.seed)
        cells += [found.coverage["from noise"], found.variety["from noise"]["near"]]
        cells += [shared(drawn, whole.representation), agreed["TD"], agreed["shared"]]
        print(f"| {name} | {' | '.join(f'{v:.3f}' for v in cells)} |", flush=True)
    music = np.concatenate([x for x, _ in learned.chunks(256, options.n)])
    print(f"| training music |{' |' * 7} {shared(music, whole.representation):.3f} | | |")


if __name__ == "__main__":
    main()
