#!/usr/bin/env python
"""Django's command line. `ENV_FILE` names a file of variables to read first."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from environs import EnvError

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, EnvError) as error:
        # A wrong variable is the operator's to mend; a traceback would hide the sentence that says which.
        sys.exit(str(error))


if __name__ == "__main__":
    main()
