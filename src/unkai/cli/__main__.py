"""`python -m unkai.cli`."""

import sys

from unkai.cli import main

sys.exit(main())
