#!/usr/bin/env python
"""Django's command line for comfysaas."""

import os
import sys

HINT = "Run `make install`, then use .venv/bin/python manage.py\n"

if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever has an older one reads a sentence, not a SyntaxError)
        sys.exit("comfysaas needs Python 3.11 or newer, and this is " + sys.version.split()[0] + ". " + HINT)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "comfysaas.settings")
    try:
        from comfysaas.commandline import main

        main(sys.argv)
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] in ("comfysaas", "accounts", "generations"):
            raise
        sys.exit(str(missing.name) + " is not installed for " + sys.executable + ". " + HINT)
