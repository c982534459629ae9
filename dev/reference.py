"""Makes docs/reference/ from what it describes: `python -m dev.reference`, run by `make docs`.

The CRD's schema, the settings' fields and the metrics' catalogue are the sources; nothing is written here
that is theirs to say. tests/unit/test_reference.py holds the files to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from methodsecret_operator import settings
from methodsecret_operator.runtime import metrics

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "docs" / "reference"
CRD: Final = ROOT / "crds" / "methodsecrets.methodfi.com.yaml"

Schema = dict[str, Any]

_CRD_HEAD: Final = """\
# The resource

<!-- Made by `make docs` from the CustomResourceDefinition in crds/: edit that, not this. -->

`{group}/{version}`, kind `{kind}`, {scope}; short name `{short}`. The same is in `kubectl explain methodsecret --recursive`.
Examples: [deploy/samples/](../../deploy/samples). States: [troubleshooting.md](../troubleshooting.md).
"""  # noqa: E501 - a document's lines
_SETTINGS_HEAD: Final = """\
# Settings

<!-- Made by `make docs` from operator/methodsecret_operator/settings.py: edit that, not this. -->

Each is an environment variable or a flag: `METHODSECRET_API_KEY_FILE` is `--api-key-file`, `KUBECONFIG` is `--kubeconfig`.
The flag wins; what is empty counts as unset. A wrong one is named, and the process exits with 2; a variable with the prefix
that is no setting is named in the log. `methodsecret-operator run --help` says the same.
"""  # noqa: E501 - a document's lines
_METRICS_HEAD: Final = """\
# Metrics

<!-- Made by `make docs` from operator/methodsecret_operator/runtime/metrics.py: edit that, not this. -->

Served at /metrics on `HEALTH_PORT`, without a login; none names an object, an id or a value. Besides: Prometheus' usual
`process_…` and `python_…`.

- Scrape with `honorLabels: true`: else `namespace` of `methodsecret_objects` becomes `exported_namespace`, and alerts and
  dashboard find nothing.
- Every replica watches, so every replica tells `methodsecret_objects`: take the `max`, not the `sum`, over Pods. Queue,
  resync and inventory of a standby mean nothing: add `and methodsecret_leader == 1`.
- Series per object: [deploy/kube-state-metrics/](../../deploy/kube-state-metrics/methodsecret.yaml).
- Alerts: [alerts.yaml](../../deploy/chart/files/alerts.yaml) and the [runbook](../runbook.md).
  Dashboard: [dashboard.json](../../deploy/chart/files/dashboard.json).
"""  # noqa: E501 - a document's lines
_BOUNDS: Final = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "maxItems": "at most {} entries",
    "maxProperties": "at most {} keys",
    "pattern": "`{}`",
    "format": "{}",
}


def crd() -> str:
    """Return the reference of the resource."""
    whole = yaml.safe_load(CRD.read_text(encoding="utf-8"))["spec"]
    version = whole["versions"][0]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    names = whole["names"]
    lines = [
        _CRD_HEAD.format(
            group=whole["group"],
            version=version["name"],
            kind=names["kind"],
            scope=whole["scope"].lower(),
            short=", ".join(names["shortNames"]),
        )
    ]
    for part in ("spec", "status"):
        lines += [f"## {part}\n", _words(schema["properties"][part].get("description", "")), ""]
        lines += _table(("Field", "Type", "Default", "Meaning"), _fields(schema["properties"][part], part))
    lines += ["## Rules\n", "What the kube-apiserver refuses, beside types and bounds.\n"]
    lines += _table(("Where", "What it says"), _rules(schema, ""))
    lines += ["## Columns\n", "What `kubectl get` shows; those with a priority above 0 with `-o wide`.\n"]
    columns = version["additionalPrinterColumns"]
    rows = [(one["name"], f"`{one['jsonPath']}`", str(one.get("priority", 0))) for one in columns]
    lines += _table(("Column", "From", "Priority"), rows)
    selectable = ", ".join(f"`{one['jsonPath'].lstrip('.')}`" for one in version.get("selectableFields", ()))
    lines.append(f"Field selectors: {selectable}, beside `metadata.name` and `metadata.namespace`.")
    return "\n".join(lines) + "\n"


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, ...]]:
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        kind, below = _kind(inner)
        default = f"`{inner['default']}`" if "default" in inner else "required" if name in required else ""
        bounds = [
            text.format(inner[key]).replace("|", "\\|") for key, text in _BOUNDS.items() if key in inner
        ]
        meaning = _words(inner.get("description", "")) + (f" ({'; '.join(bounds)})" if bounds else "")
        yield f"`{path}.{name}`", kind, default, meaning
        yield from _fields(below, f"{path}.{name}" + ("[]" if inner.get("type") == "array" else ""))


def _kind(schema: Schema) -> tuple[str, Schema]:
    """Return a field's type in words, and the schema that its own fields are in."""
    if "enum" in schema:
        return " \\| ".join(f"`{one}`" for one in schema["enum"]), schema
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string", schema
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])[0]}s", schema["items"]
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return "any object", {}
    return str(schema.get("type", "any")), schema


def _rules(schema: Schema, path: str) -> Iterator[tuple[str, ...]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"`{path.lstrip('.') or 'object'}`", _words(rule.get("message", rule["rule"]))
    for name, inner in schema.get("properties", {}).items():
        yield from _rules(inner, f"{path}.{name}")
    if "items" in schema:
        yield from _rules(schema["items"], f"{path}[]")


def settings_table() -> str:
    """Return the reference of the settings."""
    rows = [
        (f"`{one.variable}`", one.choices.replace("|", "\\|"), one.default, one.description)
        for one in settings.catalogue()
    ]
    return "\n".join([_SETTINGS_HEAD, *_table(("Setting", "Values", "Default", "Meaning"), rows)]) + "\n"


def metrics_table() -> str:
    """Return the reference of the metrics."""
    rows = [
        (f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.help)
        for one in metrics.CATALOGUE.values()
    ]
    return "\n".join([_METRICS_HEAD, *_table(("Metric", "Kind", "Labels", "Meaning"), rows)]) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [" | ".join(head), "|".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return [*(f"| {line} |" if number != 1 else f"|{line}|" for number, line in enumerate(lines)), ""]


def _words(text: str) -> str:
    """Return a description on one line, as a cell of a table takes it."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("<", "&lt;")


def files() -> dict[Path, str]:
    """Return every file of the reference with its content."""
    texts = {"crd.md": crd(), "settings.md": settings_table(), "metrics.md": metrics_table()}
    return {FOLDER / name: re.sub(r"\n+\Z", "\n", text) for name, text in texts.items()}


def main() -> None:
    """Write them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
