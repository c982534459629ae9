"""Takes one step on a ConfigMap that shows an object's id, and notes what is there by then.

Which step is core's to say (core/publishing.py); that the object is still as it was decided on, the caller's.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from methodsecret_operator.core.snapshot import (
    ApplyConfigMap,
    ConfigMapState,
    CreateConfigMap,
    DeleteConfigMap,
    ReadConfigMap,
)
from methodsecret_operator.errors import KubeConflict, KubeForbidden, KubeNotFound, KubeRejected
from methodsecret_operator.kube.client import KubeClient

_log = structlog.get_logger(__name__)

Step = ReadConfigMap | CreateConfigMap | ApplyConfigMap | DeleteConfigMap


async def take(step: Step, *, namespace: str, kube: KubeClient, seen: dict[str, ConfigMapState]) -> None:
    """Read, write or delete it; `seen` has afterwards what is known of it by name. Raises KubeError."""
    name = (
        step.name if isinstance(step, ReadConfigMap | DeleteConfigMap) else step.manifest["metadata"]["name"]
    )
    try:
        match step:
            case ReadConfigMap():
                seen[name] = await kube.get_configmap(namespace, name)
            case DeleteConfigMap(uid=uid, resource_version=version):
                await kube.delete_configmap(namespace, name, uid=uid, resource_version=version)
                seen[name] = None
                _log.info("config map deleted", config_map=name)
            case CreateConfigMap(manifest=manifest):
                seen[name] = await kube.create_configmap(manifest)
            case ApplyConfigMap(manifest=manifest, onto=onto):
                there = await kube.apply_configmap(manifest, onto=onto)
                seen[name] = replace(there, applied=manifest)
                _log.info("config map applied", config_map=name)
    except KubeNotFound:
        seen[name] = None
    except KubeConflict:
        seen.pop(name, None)
    except (KubeForbidden, KubeRejected) as error:
        _log.warning("config map refused", config_map=name, error=str(error))
        seen[name] = "refused"
