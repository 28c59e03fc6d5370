"""Running, recording and resuming the computations behind each study."""

import signal
import sys

# A command of ours is starting: Ctrl-C ends it in silence as long as libraries are imported, which
# takes seconds. `command_line.errors_for_people` takes over from there.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
