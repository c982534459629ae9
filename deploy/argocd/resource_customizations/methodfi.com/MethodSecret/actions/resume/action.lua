if obj.metadata.annotations ~= nil then
  obj.metadata.annotations["methodfi.com/paused"] = nil
  -- Argo CD takes an empty table for an array, and puts back what was there: leave none.
  if next(obj.metadata.annotations) == nil then
    obj.metadata.annotations = nil
  end
end
return obj
