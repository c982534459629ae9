-- The token has to be a new text each time, and no more: a resourceVersion is, without a clock.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["methodfi.com/reconcile-requested-at"] =
  "Argo CD at resourceVersion " .. obj.metadata.resourceVersion
return obj
