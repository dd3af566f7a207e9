"""How many shapes a second the search looks at, on one core; and that a shape alone gives the numbers of its row.

    python benchmarks/search.py [--seconds 3]

"searched" is the search itself: every shape is counted, those near the budget are priced. "priced" is the dearer part
alone: parameters, loss with its interval, weights, KV cache and decode time of every shape it is given.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

from deepwide.answers.models import find_model
from deepwide.answers.shape import shape_of
from deepwide.cost.inference.engine import driven
from deepwide.design.search import Use, price, search
from deepwide.design.space import Space, blocks
from deepwide.facts.accelerators import accelerator

SPACE = Space()
WIDER = Space(
    head_dims=(64, 128, 256), kv_heads=(1, 2, 4, 8, 16, None), ffn_ratios=(2.0, 2.5, 8 / 3, 3.0, 3.5, 4.0, 6.0)
)
H100 = driven(accelerator("h100"))
USE = Use(tokens=2e11, context=4096)
AT_ONCE = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to price")
    given = parser.parse_args()
    for name, space in (("default space", SPACE), ("wider space", WIDER)):
        found = search(space, H100, USE, parameters=10e9, tolerance=0.02)
        rate = found.counted / found.seconds
        print(f"searched, {name}: {found.counted:,} shapes in {found.seconds:.2f} s, {rate:,.0f} a second")
    done, spent_s = priced(given.seconds)
    print(f"priced: {done:,} shapes in {spent_s:.2f} s, {done / spent_s:,.0f} a second")
    agree()


def priced(seconds: float) -> tuple[int, float]:
    """Shapes priced in full, and the processor time that took."""
    done, started_s = 0, time.process_time()
    while time.process_time() - started_s < seconds:
        for block in blocks(WIDER):
            for start in range(0, len(block), AT_ONCE):
                done += len(price(WIDER, block.chosen(slice(start, start + AT_ONCE)), H100, USE))
    return done, time.process_time() - started_s


def agree() -> None:
    """A few shapes of the search, evaluated alone."""
    row = search(SPACE, H100, USE, parameters=10e9, tolerance=0.02).priced.row(0)
    sizes = ",".join(f"{name}={row[name]}" for name in ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn"))
    alone = shape_of(
        find_model(f"like=llama,{sizes},vocab={SPACE.vocab}"), H100, tokens=USE.tokens, context=USE.context
    )
    pairs = [(row[n], getattr(alone, n)) for n in ("parameters", "kv_cache_bytes_per_token", "loss", "low", "decode_s")]
    assert all(abs(a / b - 1) < 1e-12 for a, b in pairs), pairs
    print(f"alone and in its row: equal ({sizes})")


if __name__ == "__main__":
    main()
