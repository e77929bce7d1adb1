// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package helm_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// effects has, for each value, another than the default and what is rendered
// then and not without it.
var effects = []struct {
	value string
	set   []string
	want  string
}{
	{"image.repository", []string{"image.repository=registry.example.com:5000/tes"}, `image: "registry.example.com:5000/tes:0.0.0"`},
	{"image.tag", []string{"image.tag=v9"}, `/kata-tes:v9"`},
	{"image.digest", []string{"image.digest=sha256:" + strings.Repeat("a", 64)}, `/kata-tes:0.0.0@sha256:aaaa`},
	{"image.pullPolicy", []string{"image.pullPolicy=Always"}, "imagePullPolicy: Always"},
	{"imagePullSecrets", []string{"imagePullSecrets[0].name=mine"}, "imagePullSecrets:\n        - name: mine"},
	{"action", []string{"action=uninstall"}, "- uninstall\n            - --root=/host\n            - --restart\n          image:"},
	{"runtimes", []string{"runtimes={kata-qemu-snp,kata-qemu-tdx}"}, "- --runtime=kata-qemu-snp\n            - --runtime=kata-qemu-tdx"},
	{"nodeSelector.katacontainers.io/kata-runtime", []string{`nodeSelector.katacontainers\.io/kata-runtime=null`, "nodeSelector.pool=tdx"}, "nodeSelector:\n        pool: tdx\n"},
	{"tolerations", []string{"tolerations[0].key=tdx", "tolerations[0].operator=Exists"}, "tolerations:\n        - key: tdx\n          operator: Exists"},
	{"priorityClassName", []string{"priorityClassName=system-node-critical"}, "priorityClassName: \"system-node-critical\""},
	{"restartContainerd", []string{"restartContainerd=false"}, "--runtime=kata-qemu-tdx\n          image:"},
	{"extraInstallArgs", []string{"extraInstallArgs={--verbose}"}, `- "--verbose"`},
	{"maxUnavailable", []string{"maxUnavailable=10%"}, "maxUnavailable: 10%"},
	{"nodeLabel.enabled", []string{"nodeLabel.enabled=false"}, "automountServiceAccountToken: false\n      nodeSelector"},
	{"nodeLabel.key", []string{"nodeLabel.key=example.com/tes"}, "--label=example.com/tes"},
	{"privileged", []string{"privileged=true"}, "privileged: true"},
	{"resources.requests.cpu", []string{"resources.requests.cpu=99m"}, "cpu: 99m"},
	{"resources.requests.memory", []string{"resources.requests.memory=99Mi"}, "requests:\n              cpu: 10m\n              memory: 99Mi"},
	{"resources.limits.memory", []string{"resources.limits.memory=99Mi"}, "limits:\n              memory: 99Mi"},
	{"uninstall.hook", []string{"uninstall.hook=false"}, ""},
	{"uninstall.timeoutSeconds", []string{"uninstall.timeoutSeconds=77"}, "--timeout=77s"},
	{"runtimeClass.create", []string{"runtimeClass.create=true"}, "kind: RuntimeClass"},
	{"runtimeClass.name", []string{"runtimeClass.create=true", "runtimeClass.name=tes"}, "kind: RuntimeClass\nmetadata:\n  name: \"tes\"\n"},
	{"runtimeClass.handler", []string{"runtimeClass.create=true", "runtimeClass.handler=kata-qemu-snp"}, "\nhandler: \"kata-qemu-snp\"\n"},
	{"runtimeClass.overhead.memory", []string{"runtimeClass.create=true", "runtimeClass.overhead.memory=1Gi"}, "podFixed:\n    cpu: \"1\"\n    memory: 1Gi"},
	{"runtimeClass.overhead.cpu", []string{"runtimeClass.create=true", "runtimeClass.overhead.cpu=250m"}, "podFixed:\n    cpu: 250m"},
	{"admissionPolicy.enabled", []string{"admissionPolicy.enabled=true"}, "kind: ValidatingAdmissionPolicy\nmetadata:\n  name: kata-tes-trusted-store"},
	{"admissionPolicy.runtimeClassNames", []string{"admissionPolicy.enabled=true", "admissionPolicy.runtimeClassNames={a,b}"}, "object.spec.runtimeClassName in ['a', 'b']"},
	{"admissionPolicy.devicePath", []string{"admissionPolicy.enabled=true", "admissionPolicy.devicePath=/dev/my_store"}, `expression: "'dev/my_store'"`},
	{"admissionPolicy.validationActions", []string{"admissionPolicy.enabled=true", "admissionPolicy.validationActions={Warn,Audit}"}, "validationActions:\n    - Warn\n    - Audit\n"},
	{"admissionPolicy.namespaceSelector", []string{"admissionPolicy.enabled=true", "admissionPolicy.namespaceSelector.matchLabels.tes=yes"}, "namespaceSelector:\n      matchLabels:\n        tes: \"yes\""},
}

func TestEveryValueHasAnEffect(t *testing.T) {
	var listed []string
	byDefault := text(t)
	for _, e := range effects {
		listed = append(listed, e.value)
		t.Run(e.value, func(t *testing.T) {
			changed := text(t, e.set...)
			require.NotEqual(t, byDefault, changed)
			require.Contains(t, changed, e.want)
			if e.want != "" {
				require.NotContains(t, byDefault, e.want)
			}
		})
	}
	require.ElementsMatch(t, values(t), listed, "each value of values.yaml has its line here")

	require.NotContains(t, text(t, "uninstall.hook=false"), "kata-tes-uninstall")
	require.NotContains(t, text(t, "nodeLabel.enabled=false"), "node-label")
	ready := "scheduling:\n  nodeSelector:\n    katacontainers.io/kata-runtime: \"true\"\n"
	require.Contains(t, text(t, "runtimeClass.create=true"), ready+"    \"kata-tes.io/ready\": \"true\"\n", "pods go to nodes that are set up")
	require.NotContains(t, text(t, "runtimeClass.create=true", "nodeLabel.enabled=false"), "kata-tes.io/ready")
}

func text(t *testing.T, set ...string) string {
	t.Helper()
	args := []string{"template", "kata-tes", "kata-tes"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	rendered, err := helm(t, args...)
	require.NoError(t, err)
	return rendered
}

// values are the paths of all values in values.yaml.
func values(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("kata-tes/values.yaml")
	require.NoError(t, err)
	var tree map[string]any
	require.NoError(t, yaml.Unmarshal(content, &tree))
	var paths []string
	var walk func(string, any)
	walk = func(path string, value any) {
		fields, ok := value.(map[string]any)
		if !ok || len(fields) == 0 {
			paths = append(paths, strings.TrimPrefix(path, "."))
			return
		}
		for key, inner := range fields {
			walk(path+"."+key, inner)
		}
	}
	walk("", tree)
	return paths
}

func TestBadValuesAreRefused(t *testing.T) {
	for _, set := range []string{
		"unknown=1", "image.name=x", "image.repository=docker.io/Kata", "image.repository=x y", "image.tag=a b", "image.digest=sha256:12", "image.pullPolicy=Sometimes",
		"imagePullSecrets={mine}", "action=remove", "runtimes=kata", "runtimes=null", "runtimes={}", "runtimes={A_B}", "runtimes={a,a}",
		"nodeSelector=null", "nodeSelector.a=1", "tolerations[0].effekt=NoSchedule", "tolerations[0].effect=No", "priorityClassName=A",
		"restartContainerd=yes", "extraInstallArgs=--x", "maxUnavailable=0", "maxUnavailable=101%", "maxUnavailable=some",
		"nodeLabel.enabled=1", "nodeLabel.key=a b", "nodeLabel.key=it's", "nodeLabel=null", "privileged=1", "hostPID=true",
		"resources.requests.cpu=much", "resources.claims=x", "uninstall.hook=maybe", "uninstall.timeoutSeconds=1", "uninstall.timeoutSeconds=soon",
		"runtimeClass.create=x", "runtimeClass.name=A", "runtimeClass.handler=", "runtimeClass.overhead.memory=2GB",
		"admissionPolicy.enabled=x", "admissionPolicy.runtimeClassNames={}", "admissionPolicy.runtimeClassNames={it's}",
		"admissionPolicy.devicePath=/dev", "admissionPolicy.devicePath=/dev/", "admissionPolicy.devicePath=/dev//x", "admissionPolicy.devicePath=/dev/../x",
		"admissionPolicy.devicePath=/dev/it's", "admissionPolicy.devicePath=store",
		"admissionPolicy.validationActions={}", "admissionPolicy.validationActions={Warn,Deny}", "admissionPolicy.validationActions={Refuse}",
		"admissionPolicy.namespaceSelector.labels.a=b",
	} {
		t.Run(set, func(t *testing.T) {
			_, err := helm(t, "template", "kata-tes", "kata-tes", "--set", set)
			require.Error(t, err)
			require.ErrorContains(t, err, "values don't meet the specifications of the schema")
			// It says which value.
			require.ErrorContains(t, err, regexp.MustCompile(`^[A-Za-z]+`).FindString(set))
		})
	}
}

// TestNamesFitTheirLimits: with the longest name that Helm takes for a release.
func TestNamesFitTheirLimits(t *testing.T) {
	rendered, err := helm(t, "template", strings.Repeat("a", 53), "kata-tes", "--set", "admissionPolicy.enabled=true")
	require.NoError(t, err)
	for name := range parse(t, rendered) {
		_, name, _ = strings.Cut(name, " ")
		require.LessOrEqual(t, len(name), 63, name)
	}
}

func TestNotes(t *testing.T) {
	for _, c := range []struct{ set, want, not string }{
		{"action=install", "is being put on these nodes, for the handlers kata-qemu-tdx", "Restart containerd"},
		{"action=uninstall", "is being taken out", "is being put on"},
		{"restartContainerd=false", "Restart containerd on each node", ""},
		{"runtimeClass.create=true", "kubectl get nodes -L kata-tes.io/ready", "RuntimeClass is kata-deploy's"},
		{"nodeLabel.enabled=false", "The RuntimeClass is kata-deploy's", "kata-tes.io/ready"},
	} {
		t.Run(c.set, func(t *testing.T) {
			notes, err := helm(t, "install", "kata-tes", "kata-tes", "--dry-run=client", "--set", c.set)
			require.NoError(t, err)
			_, notes, found := strings.Cut(notes, "NOTES:")
			require.True(t, found)
			require.Contains(t, notes, c.want)
			if c.not != "" {
				require.NotContains(t, notes, c.not)
			}
		})
	}
}

// TestNamesThatYAMLTakesForSomethingElse stay names.
func TestNamesThatYAMLTakesForSomethingElse(t *testing.T) {
	all := render(t, "action=uninstall", "nodeLabel.key=on", "runtimeClass.create=true", "runtimeClass.name=yes", "runtimeClass.handler=1e3", "priorityClassName=off", "admissionPolicy.enabled=true")
	pod := all[daemonSet].at("spec", "template", "spec")
	require.Equal(t, "on", container(t, pod, "node")["args"].([]any)[1])
	require.Equal(t, "off", object(pod.(map[string]any))["priorityClassName"])
	class := all["RuntimeClass yes"]
	require.Equal(t, "1e3", class["handler"])
	require.Equal(t, "true", class.at("scheduling", "nodeSelector", "on"))
}
