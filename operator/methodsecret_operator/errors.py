"""The whole exception tree: every failure that the operator knows by name.

    OperatorError
    ├── SettingsError                a setting is missing or wrong: the process ends with exit code 2
    ├── MethodError                  a call to the Method API failed
    │   ├── MethodUnavailable        no usable answer: what was asked may or may not have been done
    │   ├── MethodRateLimited        429: wait, then ask the same again
    │   ├── MethodUnauthorized       401, 403: the API key is wrong, or may not do this
    │   ├── MethodNotFound           404
    │   └── MethodRejected           400, 422 and every other 4xx: the API refuses this request
    └── KubeError                    a call to the kube-apiserver failed
        ├── KubeUnavailable          no usable answer, or a 5xx
        ├── KubeConflict             409: the object moved on, or exists already
        ├── KubeForbidden            401, 403: RBAC or the credentials refuse it
        ├── KubeGone                 410: a resourceVersion or a continue token is too old
        ├── KubeNotFound             404
        └── KubeRejected             400, 413, 415, 422: the request or the object is invalid

Messages are fixed sentences with names, ids and numbers. They never hold a value, an API key or any
text that came from outside: an API may echo what it was sent. Errors of libraries are turned into
these `from None`, so that a traceback does not carry such text either.
"""

from __future__ import annotations

from typing import Final

IDEMPOTENT_ANSWERS: Final = frozenset({"stored", "replayed"})
"""Values of `idem-status` which say that this very answer is what the key will give from now on."""

_MAYBE_DONE: Final = frozenset({408, 409, 425, 429})
"""The 4xx that do not say whether the request was, or will be, carried out."""


class OperatorError(Exception):
    """Base of everything below."""


class SettingsError(OperatorError):
    """A setting is missing or wrong; the message names it and says why, never its value."""


class MethodError(OperatorError):
    """A call to the Method API failed.

    `operation` is one of create, list, retrieve, delete, ping; `kind` a fixed word for the class of
    failure (`timeout`, `connection`, `unreadable`, `http`); `status` the HTTP status where there was one;
    `request_id` and `idem_status` are the answer's headers `Request-Id` and `idem-status`, for logs.
    """

    def __init__(
        self,
        *,
        operation: str,
        kind: str,
        status: int | None = None,
        request_id: str | None = None,
        idem_status: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.operation = operation
        self.kind = kind
        self.status = status
        self.request_id = request_id
        self.idem_status = idem_status
        self.retry_after = retry_after
        super().__init__(f"{operation}: {f'HTTP {status}' if status is not None else kind}")

    @property
    def definite(self) -> bool:
        """Whether it is sure that the request was not, and under its key never will be, carried out.

        An answer that the API stored under the idempotency key is final for that key; so is a 4xx
        outside the few that mean "not now". Everything else may have been done.
        """
        if self.idem_status in IDEMPOTENT_ANSWERS:
            return self.status is not None and self.status >= 400  # noqa: PLR2004 - HTTP's own border
        return self.status is not None and 400 <= self.status < 500 and self.status not in _MAYBE_DONE  # noqa: PLR2004


class MethodUnavailable(MethodError):
    """No usable answer: time-out, broken connection, unreadable body, 5xx, 408, 409, 425."""


class MethodRateLimited(MethodError):
    """429. `retry_after` is how many seconds to wait: the header's, at least 60 (the API's block)."""


class MethodUnauthorized(MethodError):
    """401 or 403: the API key is wrong, revoked, or may not do this."""


class MethodNotFound(MethodError):
    """404: there is no such secret for this API key."""


class MethodRejected(MethodError):
    """400, 422 or another 4xx: the API refuses the request as it is."""


class KubeError(OperatorError):
    """A call to the kube-apiserver failed.

    `verb` and `what` say what was asked (`patch`, `methodsecrets/status payments/acme`), `status` is the
    HTTP status where there was one, `reason` the machine-readable `reason` of the API's Status object
    (one of Kubernetes' own words, such as AlreadyExists), `retry_after` its Retry-After in seconds.
    """

    def __init__(
        self,
        *,
        verb: str,
        what: str,
        status: int | None = None,
        reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.verb = verb
        self.what = what
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        answer = f"HTTP {status}" if status is not None else "no answer"
        super().__init__(f"{verb} {what}: {answer}{f' {reason}' if reason else ''}")


class KubeUnavailable(KubeError):
    """No usable answer, a 429 or a 5xx: ask again later."""


class KubeConflict(KubeError):
    """409: the object has another resourceVersion by now, or exists already."""


class KubeForbidden(KubeError):
    """401 or 403: RBAC or the credentials do not allow it."""


class KubeGone(KubeError):
    """410: the resourceVersion or continue token is too old; list again."""


class KubeNotFound(KubeError):
    """404: there is no such object, or no such kind."""


class KubeRejected(KubeError):
    """400, 413, 415 or 422: the server finds the request or the object invalid."""
