{{- define "lode.name" -}}{{ printf "%s-lode" .Release.Name | trunc 50 | trimSuffix "-" }}{{- end }}
{{- define "lode.select" -}}
app.kubernetes.io/name: lode
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "lode.labels" -}}
{{ include "lode.select" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "lode.network" -}}{{ if .Values.chainspec }}/etc/lode/{{ .Values.network }}.json{{ else }}{{ .Values.network }}{{ end }}{{- end }}
