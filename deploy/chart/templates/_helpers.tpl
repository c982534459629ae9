{{/* Names, labels and other parts that several templates share. Nothing here renders an object. */}}

{{- define "methodsecret.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "methodsecret.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "methodsecret.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "methodsecret.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Cluster-scoped objects carry the namespace where two releases of one name would otherwise meet. */}}
{{- define "methodsecret.clusterName" -}}
{{- if eq .Release.Namespace "methodsecret-system" }}
{{- include "methodsecret.fullname" . }}
{{- else }}
{{- printf "%s-%s" .Release.Namespace (include "methodsecret.fullname" .) }}
{{- end }}
{{- end }}

{{- define "methodsecret.selectorLabels" -}}
app.kubernetes.io/name: {{ include "methodsecret.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "methodsecret.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "methodsecret.labels" -}}
{{ include "methodsecret.selectorLabels" . }}
app.kubernetes.io/component: operator
{{ include "methodsecret.commonLabels" . }}
{{- end }}

{{- define "methodsecret.emulatorSelectorLabels" -}}
app.kubernetes.io/name: method-emulator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "methodsecret.emulatorLabels" -}}
{{ include "methodsecret.emulatorSelectorLabels" . }}
app.kubernetes.io/component: emulator
{{ include "methodsecret.commonLabels" . }}
{{- end }}

{{- define "methodsecret.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "methodsecret.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* image, of a dict with `image` and `context` */}}
{{- define "methodsecret.image" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (default .context.Chart.AppVersion .image.tag) }}
{{- end }}
{{- end }}

{{/* The Secret with the API key; empty where there is none. */}}
{{- define "methodsecret.apiKeySecret" -}}
{{- if .Values.apiKey.existingSecret }}
{{- .Values.apiKey.existingSecret }}
{{- else if or .Values.apiKey.value .Values.emulator.enabled }}
{{- printf "%s-api-key" (include "methodsecret.fullname" .) }}
{{- end }}
{{- end }}

{{- define "methodsecret.baseUrl" -}}
{{- if .Values.emulator.enabled }}
{{- printf "http://%s-emulator:8080" (include "methodsecret.fullname" .) }}
{{- else }}
{{- .Values.baseUrl }}
{{- end }}
{{- end }}

{{/* Whether the server has ValidatingAdmissionPolicy: "true" or nothing. `helm template` knows a version, but not its kinds. */}}
{{- define "methodsecret.hasAdmissionPolicy" -}}
{{- if or (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}true{{ end }}
{{- end }}

{{/* Whether there is an admission policy: "true" or nothing. */}}
{{- define "methodsecret.admissionPolicy" -}}
{{- if eq (toString .Values.admissionPolicy.enabled) "auto" }}
{{- include "methodsecret.hasAdmissionPolicy" . }}
{{- else if .Values.admissionPolicy.enabled }}true{{ end }}
{{- end }}

{{/* What restricted Pod Security asks of a Pod and of a container. */}}
{{- define "methodsecret.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "methodsecret.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
