"""``python -m workflow_engine``: the command `wfe`."""

from __future__ import annotations

import sys

from workflow_engine.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
