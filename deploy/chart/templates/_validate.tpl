{{/* Combinations that the schema cannot refuse, each with a sentence that says what to do. */}}
{{- define "methodsecret.validate" -}}
{{- if and .Values.apiKey.existingSecret .Values.apiKey.value }}
{{- fail "apiKey.existingSecret and apiKey.value are both set: give one of them." }}
{{- end }}
{{- if and .Values.emulator.enabled .Values.baseUrl }}
{{- fail "emulator.enabled and baseUrl are both set: with the emulator the URL is the emulator's; leave baseUrl empty." }}
{{- end }}
{{- if and .Values.emulator.enabled (eq .Values.environment "production") }}
{{- fail "emulator.enabled is for tests, but environment is production: set environment to sandbox or dev." }}
{{- end }}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElection.enabled) }}
{{- fail (printf "replicaCount is %d, but leaderElection.enabled is false: several operators would share no budget; set replicaCount to 1 or turn leader election on." (int .Values.replicaCount)) }}
{{- end }}
{{- if and .Values.caBundle.configMap .Values.caBundle.secret }}
{{- fail "caBundle.configMap and caBundle.secret are both set: give one of them." }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor and metrics.podMonitor are both enabled: every metric would be read twice; enable one." }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) }}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled; or use metrics.podMonitor." }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false: name an existing one in serviceAccount.name." }}
{{- end }}
{{- if .Values.namespaces }}
{{- range .Values.defaultAccountNamespaces }}
{{- if not (has . $.Values.namespaces) }}
{{- fail (printf "defaultAccountNamespaces names %s, which is not in namespaces: the operator would never see it." .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq (toString .Values.admissionPolicy.enabled) "true") (not (include "methodsecret.hasAdmissionPolicy" .)) }}
{{- fail "admissionPolicy.enabled is true, but this server has no ValidatingAdmissionPolicy (admissionregistration.k8s.io/v1): upgrade it, or set auto or false." }}
{{- end }}
{{- if and .Values.metrics.prometheusRule.enabled (not (.Files.Get "files/alerts.yaml")) }}
{{- fail "metrics.prometheusRule.enabled: this build of the chart has no files/alerts.yaml." }}
{{- end }}
{{- if and .Values.metrics.dashboard.enabled (not (.Files.Get "files/dashboard.json")) }}
{{- fail "metrics.dashboard.enabled: this build of the chart has no files/dashboard.json." }}
{{- end }}
{{- end }}
