-- reconcile: look now. pause, resume: leave it alone, take it up again. rotate: store the value again, where
-- that has to be asked for; anywhere else it would change nothing.
local annotations = obj.metadata.annotations or {}
local paused = annotations["methodfi.com/paused"] == "true"

local waits_for_rotation = {
  AccountChanged = true,
  Adopted = true,
  DigestKeyLost = true,
  RemoteDeleted = true,
}
local rotatable = false
if obj.status ~= nil then
  for _, condition in ipairs(obj.status.conditions or {}) do
    if condition.type == "RotationPending" and condition.status == "True" then
      rotatable = true
    end
    if condition.type == "Ready" and waits_for_rotation[condition.reason] then
      rotatable = true
    end
  end
end

local actions = {}
actions["reconcile"] = { ["disabled"] = paused }
actions["pause"] = { ["disabled"] = paused }
actions["resume"] = { ["disabled"] = not paused }
actions["rotate"] = { ["disabled"] = paused or not rotatable }
return actions
