"""Takes one step on a ConfigMap that shows an object's id, and notes what is there by then.

Which step is core's to say (core/publishing.py); that the object is still as it was decided on, the caller's.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from methodsecret_operator.core.snapshot import ApplyConfigMap, ConfigMapState, DeleteConfigMap, ReadConfigMap
from methodsecret_operator.errors import KubeConflict, KubeForbidden, KubeNotFound, KubeRejected
from methodsecret_operator.kube.client import KubeClient

_log = structlog.get_logger(__name__)

Step = ReadConfigMap | ApplyConfigMap | DeleteConfigMap


async def take(step: Step, *, namespace: str, kube: KubeClient, seen: dict[str, ConfigMapState]) -> None:
    """Read, write or delete it; `seen` has afterwards what is known of it by name. Raises KubeError."""
    name = step.manifest["metadata"]["name"] if isinstance(step, ApplyConfigMap) else step.name
    try:
        match step:
            case ReadConfigMap():
                seen[name] = await kube.get_configmap(namespace, name)
            case DeleteConfigMap(uid=uid, resource_version=version):
                await kube.delete_configmap(namespace, name, uid=uid, resource_version=version)
                seen[name] = None
                _log.info("config map deleted", config_map=name)
            case ApplyConfigMap(manifest=manifest, onto=onto):
                there, ours = await kube.apply_configmap(manifest, onto=onto)
                if onto is None and not ours:
                    # Somebody else's has come since we looked: what we have added to it goes again.
                    await kube.withdraw_configmap(namespace, name, there.uid)
                    del seen[name]
                    return
                seen[name] = replace(there, applied=manifest)
                _log.info("config map applied", config_map=name)
    except KubeNotFound:
        seen[name] = None
    except KubeConflict:
        seen.pop(name, None)
    except (KubeForbidden, KubeRejected) as error:
        _log.warning("config map refused", config_map=name, error=str(error))
        seen[name] = "refused"
