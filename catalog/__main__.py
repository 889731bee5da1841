"""``python -m catalog``: see `catalog.cli`."""

from __future__ import annotations

import sys

from catalog.cli import main

sys.exit(main())
