"""The whole exception tree: every failure that the operator knows by name.

    OperatorError
    ├── SettingsError                a setting is missing or wrong: the process ends with exit code 2
    ├── SchemaError                  an object does not fit the schema that this operator knows
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


class SchemaError(OperatorError):
    """A stored object does not fit the schema that this operator knows: the CRD is another version's."""

    def __init__(self, *, key: str, fields: list[str]) -> None:
        self.key = key
        self.fields = fields
        super().__init__(
            f"MethodSecret {key} does not fit this operator's schema in {', '.join(fields)}: apply the CRD of"
            " this operator's version"
        )


class MethodError(OperatorError):
    """A call to the Method API failed.

    `operation` is one of create, list, retrieve, delete, ping; `kind` a fixed word for the class of failure:

    - `timeout`, `connection`: no whole answer came
    - `unreadable`: an answer that is not the API's (HTML, no id, too long), whatever its HTTP status
    - `refused`: a 2xx whose body says `success: false`
    - `http`: the HTTP status says it
    - `held`: nothing was sent, because the last one timed out and another is under way to see if that is
      over, or because a 429 has blocked the API key
    - `invalid-id`, `invalid-key`: nothing was sent, because no such id or API key can exist

    `status` is the HTTP status where there was one; `request_id` and `idem_status` are the answer's headers
    `Request-Id` and `idem-status`, for logs; `sub_type` is the API's own word for the error where it is a
    documented one (IDEMPOTENCY_UNAVAILABLE); `retry_after` is seconds to wait, where the answer names them.
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
        sub_type: str | None = None,
    ) -> None:
        self.operation = operation
        self.kind = kind
        self.status = status
        self.request_id = request_id
        self.idem_status = idem_status
        self.retry_after = retry_after
        self.sub_type = sub_type
        words = [] if status is None else [f"HTTP {status}"]
        words += [] if kind == "http" else [kind]
        super().__init__(f"{operation}: {' '.join(words)}")

    @property
    def definite(self) -> bool:
        """Whether it is sure that the request was not, and under its key never will be, carried out.

        An answer that the API stored under the idempotency key is final for that key; so is a 4xx
        outside the few that mean "not now". Everything else may have been done.
        """
        if self.idem_status in IDEMPOTENT_ANSWERS:
            return self.kind == "refused" or (
                self.status is not None and self.status >= 400  # noqa: PLR2004 - HTTP's own border
            )
        if self.kind == "unreadable":  # written by something between us and the API
            return False
        return self.status is not None and 400 <= self.status < 500 and self.status not in _MAYBE_DONE  # noqa: PLR2004


class MethodUnavailable(MethodError):
    """No usable answer: time-out, broken connection, unreadable body, 5xx, 408, 409, 425."""


class MethodRateLimited(MethodError):
    """429. `retry_after` is how many seconds to wait: the header's, at least 60 (the API's block).

    `held` says that it was another request's, and the seconds are what is left of it.
    """


class MethodUnauthorized(MethodError):
    """401 or 403: the API key is wrong, revoked, or may not do this."""


class MethodNotFound(MethodError):
    """404: there is no such secret for this API key."""


class MethodRejected(MethodError):
    """400, 422 or another 4xx: the API refuses the request as it is."""


class KubeError(OperatorError):
    """A call to the kube-apiserver failed.

    `verb` and `what` say what was asked (`patch`, `methodsecrets/status payments/acme`); `kind` is a fixed
    word for the class of failure (`http`, `stream`: an error inside a watch, `timeout`, `connection`,
    `unreadable`, `too-large`); `status` is the HTTP status where there was one, `reason` the machine-readable
    `reason` of the API's Status object (one of Kubernetes' own words, such as AlreadyExists), `retry_after`
    its Retry-After in seconds.
    """

    def __init__(
        self,
        *,
        verb: str,
        what: str,
        kind: str = "http",
        status: int | None = None,
        reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.verb = verb
        self.what = what
        self.kind = kind
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        words = [f"HTTP {status}"] if status is not None else []
        if kind != "http":
            words.append(kind)
        if reason:
            words.append(reason)
        super().__init__(f"{verb} {what}: {' '.join(words) or 'no answer'}")


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
