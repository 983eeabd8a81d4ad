"""The command from its first moment on, before all that it needs is imported."""

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; an interrupt ends it quietly even while it starts."""
    # What is imported takes a tenth of a second, in which Python would show where it
    # was. There is nothing to clean up yet; `interrupts.watch` takes over.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    from softsort_cli import app

    app.main()


if __name__ == "__main__":
    main()
