obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["methodfi.com/paused"] = "true"
return obj
