"""`python -m amibridge` is the `amibridge` command."""

from __future__ import annotations

import sys

from amibridge.cli import main

if __name__ == "__main__":
    sys.exit(main())
