"""The program `capi-assets`, also as `python -m capi_assets`."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from capi_assets.cli import main


def run() -> NoReturn:
    """Runs the command line, and ends without the destructors of C++.

    Those of Arrow's threads abort the process now and then ("terminate called without an active
    exception", status 134), after all was done.
    """
    # Imports make a million objects that stay: searched for garbage after every 700, as Python
    # does, they take a seventh more time.
    gc.set_threshold(50_000, 20, 20)
    status = 0
    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    run()
