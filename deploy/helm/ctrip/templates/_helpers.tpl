{{- define "ctrip.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "ctrip.image" -}}
{{- $i := .Values.image -}}
{{- if $i.digest -}}
{{ $i.repository }}@{{ $i.digest }}
{{- else -}}
{{ $i.repository }}:{{ $i.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "ctrip.labels" -}}
app.kubernetes.io/name: ctrip
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "ctrip.selector" -}}
app.kubernetes.io/name: ctrip
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "ctrip.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "ctrip.environment" -}}
- { name: ENV, value: {{ .Values.settings.ENV | default "production" | quote }} }
- { name: CHAINS_FILE, value: /etc/ctrip/chains.yaml }
- { name: SHUTDOWN_GRACE, value: {{ printf "%ds" (sub (int .Values.terminationGracePeriodSeconds) 5) | quote }} }
- { name: API_ADDR, value: "0.0.0.0:8080" }
- { name: OPS_ADDR, value: "0.0.0.0:9090" }
{{- range $name, $value := .Values.settings }}
{{- if not (has $name (list "ENV" "CHAINS_FILE" "SHUTDOWN_GRACE" "API_ADDR" "OPS_ADDR")) }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}
{{- end -}}

{{- define "ctrip.volumes" -}}
- name: chains
  {{- if .Values.chainsSecret }}
  secret: { secretName: {{ .Values.chainsSecret }} }
  {{- else }}
  configMap: { name: {{ include "ctrip.name" . }}-chains }
  {{- end }}
{{- end -}}

{{/* A deployment of one of the processes: dict "root" $ "component" "worker" "ports" (list of name, port). */}}
{{- define "ctrip.deployment" -}}
{{- $v := .root.Values -}}
{{- $own := index $v .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "ctrip.name" .root }}-{{ .component }}
  labels: {{- include "ctrip.labels" . | nindent 4 }}
spec:
  {{- if not (and (eq .component "worker") $v.worker.autoscaling.enabled) }}
  replicas: {{ $own.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "ctrip.selector" . | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
  template:
    metadata:
      labels: {{- include "ctrip.labels" . | nindent 8 }}
      annotations:
        checksum/chains: {{ $v.chains | sha256sum }}
        prometheus.io/scrape: "true"
        prometheus.io/port: "9090"
        {{- with $v.podAnnotations }}{{ toYaml . | nindent 8 }}{{- end }}
    spec:
      serviceAccountName: {{ include "ctrip.name" .root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile: { type: RuntimeDefault }
      {{- with $v.image.pullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "ctrip.selector" . | nindent 14 }}
      containers:
        - name: {{ .component }}
          image: {{ include "ctrip.image" .root }}
          imagePullPolicy: {{ $v.image.pullPolicy }}
          command: [/usr/local/bin/{{ .component }}]
          envFrom:
            - secretRef: { name: {{ $v.existingSecret }} }
          env: {{- include "ctrip.environment" .root | nindent 12 }}
          ports:
            {{- if eq .component "api" }}
            - { name: http, containerPort: 8080 }
            {{- end }}
            - { name: ops, containerPort: 9090 }
          startupProbe:
            httpGet: { path: /healthz, port: ops }
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: { path: /healthz, port: ops }
            periodSeconds: 10
            timeoutSeconds: 5
          readinessProbe:
            httpGet: { path: /readyz, port: ops }
            periodSeconds: 5
            timeoutSeconds: 4
          resources: {{- toYaml $own.resources | nindent 12 }}
          securityContext: {{- include "ctrip.container-security" . | nindent 12 }}
          volumeMounts:
            - { name: chains, mountPath: /etc/ctrip, readOnly: true }
      volumes: {{- include "ctrip.volumes" .root | nindent 8 }}
      {{- with $v.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $v.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $v.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
