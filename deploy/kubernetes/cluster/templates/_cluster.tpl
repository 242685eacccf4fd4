{{- define "ringmaster.headless" -}}{{ .Release.Name }}-coordinators{{- end -}}

{{/* The stable name of a coordinator's pod, whatever its address. */}}
{{- define "ringmaster.coordinator" -}}
{{ .root.Release.Name }}-coordinator-{{ .ordinal }}.{{ include "ringmaster.headless" .root }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}:7070
{{- end -}}

{{/* The addresses of all coordinators. */}}
{{- define "ringmaster.join" -}}
{{- $root := . -}}
{{- range $i := until (int .Values.coordinators.replicas) -}}
{{- if $i }},{{ end }}{{ include "ringmaster.coordinator" (dict "root" $root "ordinal" $i) }}
{{- end -}}
{{- end -}}

{{- define "ringmaster.founders" -}}
{{ int (.Values.coordinators.founders | default .Values.coordinators.replicas) }}
{{- end -}}

{{/* id=address of the coordinators that found the cluster. */}}
{{- define "ringmaster.peers" -}}
{{- $root := . -}}
{{- range $i := until (int (include "ringmaster.founders" .)) -}}
{{- if $i }},{{ end }}{{ $root.Release.Name }}-coordinator-{{ $i }}={{ include "ringmaster.coordinator" (dict "root" $root "ordinal" $i) }}
{{- end -}}
{{- end -}}

{{- define "ringmaster.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 2
  failureThreshold: 90
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 2
  timeoutSeconds: 2
{{- end -}}

{{- define "ringmaster.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ if eq $key "kubernetes.io/hostname" }}{{ $.of.spread }}{{ else }}ScheduleAnyway{{ end }}
    labelSelector:
      matchLabels:
        {{- include "ringmaster.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* Wrong values are refused here, in a line each. */}}
{{- define "ringmaster.check" -}}
{{- $c := .Values.coordinators -}}
{{- if not (has (int $c.replicas) (list 1 3 5)) -}}
{{- fail (printf "coordinators.replicas must be 1, 3 or 5, not %v" $c.replicas) -}}
{{- end -}}
{{- if or (not (has (int $c.founders) (list 0 1 3 5))) (gt (int $c.founders) (int $c.replicas)) -}}
{{- fail (printf "coordinators.founders must be 1, 3 or 5 and at most coordinators.replicas (%v), or 0, not %v" $c.replicas $c.founders) -}}
{{- end -}}
{{- if gt (len .Release.Name) 40 -}}
{{- fail (printf "the release's name %s is too long: pods are named after it, and a coordinator's id has at most 64 characters; take one of at most 40" .Release.Name) -}}
{{- end -}}
{{- $old := lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-coordinator" .Release.Name) -}}
{{- if $old -}}
{{- $was := index ($old.metadata.annotations | default dict) "ringmaster/founders" | default "" -}}
{{- if and $was (ne $was (include "ringmaster.founders" .)) -}}
{{- fail (printf "this cluster was founded by %s coordinators; set coordinators.founders=%s, or the new ones would found another cluster" $was $was) -}}
{{- end -}}
{{- end -}}
{{- end -}}
