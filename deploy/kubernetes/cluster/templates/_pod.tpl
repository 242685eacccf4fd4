{{/*
What the pods of both charts share. cluster/templates/_pod.tpl and run/templates/_pod.tpl are the same file; a test compares them.
*/}}

{{- define "ringmaster.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The labels of one component's pods, which never change: selectors use them. */}}
{{- define "ringmaster.selector" -}}
app.kubernetes.io/name: ringmaster
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels. part-of is the cluster: its network policy admits pods by it. */}}
{{- define "ringmaster.labels" -}}
{{ include "ringmaster.selector" . }}
app.kubernetes.io/part-of: {{ .root.Values.cluster | default .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{/* What is true of every pod: it needs no API of Kubernetes, no privileges, and no user but the image's. */}}
{{- define "ringmaster.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "ringmaster.container" -}}
image: {{ include "ringmaster.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Makes the pod's own certificate in memory before its program starts. Only this container sees the authority. */}}
{{- define "ringmaster.certify" -}}
- name: certify
  {{- include "ringmaster.container" .root | nindent 2 }}
  command: [/bin/ringmaster]
  args:
    - certs
    - node
    - $(POD_NAME)
    - --role={{ .role }}
    - --ca=/authority
    - --out=/certs/node
    - --days={{ .root.Values.certificates.days }}
    - --replace
  env:
    {{- include "ringmaster.podName" . | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 32Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: authority, mountPath: /authority, readOnly: true}
    - {name: certs, mountPath: /certs}
{{- end -}}

{{- define "ringmaster.podName" -}}
- name: POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
{{- end -}}

{{- define "ringmaster.mounts" -}}
- {name: certs, mountPath: /certs, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "ringmaster.volumes" -}}
- name: authority
  secret:
    secretName: {{ .Values.certificates.secret | default (printf "%s-authority" (.Values.cluster | default .Release.Name)) }}
    defaultMode: 0400
    {{- if .Values.certificates.certManager.enabled }}
    items:
      - {key: tls.crt, path: ca.crt}
      - {key: tls.key, path: ca.key}
    {{- end }}
- name: certs
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: tmp
  emptyDir: {}
{{- end -}}

{{/* Where and with which rank pods run. */}}
{{- define "ringmaster.placement" -}}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
