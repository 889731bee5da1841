"""``python -m tests.chaos [--kills N] [--seed N] …``: the chaos test by hand, of any size, with its progress."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.campaign import PATIENCE, Campaign, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--life", type=float, default=4.0, help="mean seconds that a process lives")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=16, help="runs under way at a time")
    parser.add_argument(
        "--minutes", type=float, default=90.0, help="when to stop killing, whatever the number"
    )
    parser.add_argument("--data", type=Path, help="folder that is kept, with the logs")
    parser.add_argument("--least", type=int, default=0, help="how many runs there are at least")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, help="seconds to wait for ends, afterwards"
    )
    parser.add_argument("--api-worker", action="store_true", help="the API works too, besides the workers")
    given = parser.parse_args()
    data = given.data or Path(tempfile.mkdtemp(prefix="chaos-"))
    campaign = Campaign(
        given.seed,
        given.kills,
        given.life,
        given.workers,
        given.at_once,
        given.minutes * 60,
        given.least,
        given.patience,
        given.api_worker,
    )
    (data / "data").mkdir(parents=True)
    report = asyncio.run(
        run(campaign, data / "data", say=lambda line: print(line, file=sys.stderr, flush=True))
    )
    print(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
