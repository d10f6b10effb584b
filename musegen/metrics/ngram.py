"""A language model of symbols by counting: n-grams with interpolated Kneser-Ney smoothing.

Ney, Essen and Kneser (1994); Chen and Goodman (1999), section 2.8, with one discount for each
order, n1 / (n1 + 2 n2). The published Figure 3 of MusicVAE judges interpolations by such a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Symbols = NDArray[np.integer]
Keys = NDArray[np.int64]


@dataclass(frozen=True)
class _Order:
    """Counts of the grams of one length; contexts are the grams without their last symbol.

    Attributes:
        grams: sorted keys.
        counts: how often each occurs; of shorter grams before how many different symbols.
        contexts: sorted keys of contexts.
        totals: sum of the counts after each context.
        kinds: how many different symbols come after each.
        discount: taken off every count.
    """

    grams: Keys
    counts: NDArray[np.float64]
    contexts: Keys
    totals: NDArray[np.float64]
    kinds: NDArray[np.float64]
    discount: float


class NGram:
    """Probabilities of symbols after the `order` - 1 symbols before them.

    Args:
        x: sequences [n, steps] to count, symbols from 0 to `vocab` - 1.
        vocab: number of symbols.
        order: length of the longest grams; what is before a sequence counts as a symbol.

    Raises:
        ValueError: so many symbols that a gram has no key of 63 bits.
    """

    def __init__(self, x: Symbols, vocab: int, order: int = 5) -> None:
        if (vocab + 1) ** order >= 2**63:
            raise ValueError(f"{order}-grams of {vocab} symbols do not fit into 63 bits")
        self.vocab, self.order = vocab, order
        keys, counts = np.unique(self._grams(x, order), return_counts=True)
        orders = [self._table(keys, counts.astype(float))]
        for _ in range(order - 1):
            # In a shorter gram counts in how many different contexts it continues.
            size = (vocab + 1) ** (order - len(orders))
            keys, counts = np.unique(keys % size, return_counts=True)
            orders.append(self._table(keys, counts.astype(float)))
        self._orders = orders[::-1]

    def _grams(self, x: Symbols, length: int) -> Keys:
        """Keys of the gram of `length` symbols that ends at each step, [n, steps]."""
        before = np.full((len(x), self.order - 1), self.vocab, np.int64)
        padded = np.concatenate([before, x.astype(np.int64)], axis=1)
        first, steps = self.order - length, x.shape[1]
        key = np.zeros(x.shape, np.int64)
        for i in range(length):
            key = key * (self.vocab + 1) + padded[:, first + i : first + i + steps]
        return key

    def _table(self, grams: Keys, counts: NDArray[np.float64]) -> _Order:
        contexts, owner = np.unique(grams // (self.vocab + 1), return_inverse=True)
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        discount = float(once / (once + 2 * twice)) if once else 0.5
        totals = np.bincount(owner, counts).astype(float)
        return _Order(grams, counts, contexts, totals, np.bincount(owner).astype(float), discount)

    def cost(self, x: Symbols) -> NDArray[np.float64]:
        """Mean nats a step of each sequence [n, steps], [n]."""
        p = np.full(x.shape, 1 / self.vocab)
        for length, table in enumerate(self._orders, 1):
            grams = self._grams(x, length)
            count = _looked_up(table.grams, table.counts, grams)
            contexts = grams // (self.vocab + 1)
            total = _looked_up(table.contexts, table.totals, contexts)
            kinds = _looked_up(table.contexts, table.kinds, contexts)
            own = np.maximum(count - table.discount, 0) + table.discount * kinds * p
            p = np.where(total > 0, own / np.maximum(total, 1), p)
        nats: NDArray[np.float64] = -np.log(p).mean(axis=1)
        return nats


def _looked_up(keys: Keys, values: NDArray[np.float64], wanted: Keys) -> NDArray[np.float64]:
    """The values of the wanted keys, 0 where there is none."""
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    found: NDArray[np.float64] = np.where(keys[at] == wanted, values[at], 0.0)
    return found
