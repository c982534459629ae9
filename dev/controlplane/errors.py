"""What can go wrong with a control plane; every message says what to do or shows the end of a log."""


class NotAvailableError(Exception):
    """The programs are nowhere and cannot be got; the message says what to do."""


class NoGoError(NotAvailableError):
    """They would have to be built, and there is no Go to build them with."""


class StartError(RuntimeError):
    """A program of the control plane did not come up; the message holds the end of its log."""


class KubectlError(RuntimeError):
    """Kubectl exited with an error; the message holds the command and what it wrote to stderr."""
