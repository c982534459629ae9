-- Health of a MethodSecret (methodfi.com/v1), from its conditions. It follows kstatus, with one difference:
-- what waits for a person's word (paused, or a rotation on request) is Suspended.
-- No library is used but `table`: argocd-cm gives a script no more.
local metadata = obj.metadata or {}

if metadata.deletionTimestamp ~= nil then
  local message = "Pending deletion"
  if metadata.finalizers ~= nil and #metadata.finalizers > 0 then
    message = message .. "; blocked by finalizers: " .. table.concat(metadata.finalizers, ", ")
  end
  return { status = "Progressing", message = message }
end

if metadata.annotations ~= nil and metadata.annotations["methodfi.com/paused"] == "true" then
  return { status = "Suspended", message = "Paused by the annotation methodfi.com/paused" }
end

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" or condition.type == "Ready" then
    conditions[condition.type] = condition
  end
end

if conditions.Ready == nil or status.observedGeneration ~= metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator to look at it" }
end
if conditions.Reconciling ~= nil then
  return { status = "Progressing", message = conditions.Reconciling.message }
end
if conditions.Stalled ~= nil then
  return { status = "Degraded", message = conditions.Stalled.message }
end
if conditions.Ready.status ~= "True" then
  return { status = "Progressing", message = conditions.Ready.message }
end
if conditions.RotationPending ~= nil then
  return { status = "Suspended", message = conditions.RotationPending.message }
end
return { status = "Healthy", message = conditions.Ready.message }
