{{/* The name of all objects: the release's, with the chart's unless that says it. */}}
{{- define "kata-tes.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects our pods, and may never change. */}}
{{- define "kata-tes.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Neither a label nor a tag may have the plus sign of build metadata. */}}
{{- define "kata-tes.version" -}}
{{- .Chart.AppVersion | replace "+" "_" -}}
{{- end -}}

{{- define "kata-tes.labels" -}}
{{ include "kata-tes.selectorLabels" . }}
app.kubernetes.io/version: {{ include "kata-tes.version" . | quote }}
{{- end -}}

{{- define "kata-tes.image" -}}
{{- $tag := .Values.image.tag | default (include "kata-tes.version" .) -}}
{{- .Values.image.repository }}:{{ $tag }}{{ with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* What a container may do that neither touches its node nor needs root. */}}
{{- define "kata-tes.unprivileged" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/*
What setting up a node needs: it is root's work on the node's own files, so the
container is root with the node's tree under /host, and no more than that:
CHOWN, FOWNER, DAC_OVERRIDE to put files into place as they were owned,
SYS_CHROOT to run the node's containerd and systemctl in its own tree.
*/}}
{{- define "kata-tes.privileged" -}}
runAsUser: 0
runAsGroup: 0
readOnlyRootFilesystem: true
{{- if .Values.privileged }}
privileged: true
{{- else }}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  add: [CHOWN, DAC_OVERRIDE, FOWNER, SYS_CHROOT]
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- end -}}

{{/* What all containers have. */}}
{{- define "kata-tes.container" -}}
image: {{ include "kata-tes.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- /* So that `kubectl describe pod` has the sentence. */}}
terminationMessagePolicy: FallbackToLogsOnError
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "kata-tes.nodeName" -}}
env:
  - name: NODE_NAME
    valueFrom:
      fieldRef:
        fieldPath: spec.nodeName
{{- end -}}

{{/*
The container that does the work, for .action. It has the same name whichever it
is: Helm does not take back containers that the job's patch has added.
*/}}
{{- define "kata-tes.initContainers" -}}
{{- $top := .top -}}
- name: node
  args:
    {{- if and (eq .action "uninstall") $top.Values.nodeLabel.enabled }}
    # First the label, so that no pod comes to a node that is being taken out.
    - unlabel
    - {{ $top.Values.nodeLabel.key | quote }}
    {{- end }}
    - {{ .action }}
    - --root=/host
    {{- if eq .action "install" }}
    - --from=/opt/kata-tes/bin
    {{- range $top.Values.runtimes }}
    - --runtime={{ . }}
    {{- end }}
    {{- range $top.Values.extraInstallArgs }}
    - {{ . | quote }}
    {{- end }}
    {{- end }}
    {{- if $top.Values.restartContainerd }}
    - --restart
    {{- end }}
  {{- include "kata-tes.container" $top | nindent 2 }}
  {{- include "kata-tes.nodeName" $top | nindent 2 }}
  securityContext:
    {{- include "kata-tes.privileged" $top | nindent 4 }}
  volumeMounts:
    - name: host
      mountPath: /host
      mountPropagation: HostToContainer
{{- end -}}

{{/* What stays, once the work is done. */}}
{{- define "kata-tes.containers" -}}
{{- $top := .top -}}
- name: wait
  args:
    - wait
    {{- if and (eq .action "install") $top.Values.nodeLabel.enabled }}
    - --label={{ $top.Values.nodeLabel.key }}
    {{- end }}
  {{- include "kata-tes.container" $top | nindent 2 }}
  {{- include "kata-tes.nodeName" $top | nindent 2 }}
  securityContext:
    {{- include "kata-tes.unprivileged" $top | nindent 4 }}
{{- end -}}

{{/*
The change of the DaemonSet that takes kata-tes out of all nodes, as a JSON merge
patch. All nodes at once: one that is down must not keep the others waiting.
*/}}
{{- define "kata-tes.uninstallPatch" -}}
{{- $arg := dict "top" . "action" "uninstall" -}}
{{- $pod := dict "initContainers" (include "kata-tes.initContainers" $arg | fromYamlArray) "containers" (include "kata-tes.containers" $arg | fromYamlArray) -}}
{{- $strategy := dict "rollingUpdate" (dict "maxUnavailable" "100%") -}}
{{- dict "spec" (dict "updateStrategy" $strategy "template" (dict "spec" $pod)) | toJson -}}
{{- end -}}
