// Package test renders the chart with Helm's own engine and reads what comes out as Kubernetes' own types.
package test

import (
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// values are the least that an operator has to give.
func values(change func(map[string]any)) map[string]any {
	v := map[string]any{
		"image":          map[string]any{"repository": "registry.example/ctrip"},
		"existingSecret": "ctrip",
		"settings":       map[string]any{"PUBLIC_URL": "https://pay.example.com", "TRUSTED_PROXIES": "10.0.0.0/8"},
		"chains":         "chains: []\n",
	}
	if change != nil {
		change(v)
	}
	return v
}

// render returns the objects of a release, by kind and name.
func render(t *testing.T, v map[string]any) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load("../ctrip")
	if err != nil {
		t.Fatal(err)
	}
	release := chartutil.ReleaseOptions{Name: "pay", Namespace: "shop", IsInstall: true}
	merged, err := chartutil.ToRenderValues(chart, v, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, merged)
	if err != nil {
		return nil, err
	}
	objects := make(map[string]string)
	for name, text := range files {
		if strings.HasSuffix(name, ".txt") {
			continue
		}
		for _, document := range strings.Split("\n"+text, "\n---") {
			var head struct {
				Kind     string
				Metadata struct{ Name string }
			}
			if err := yaml.Unmarshal([]byte(document), &head); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			if head.Kind != "" {
				objects[head.Kind+"/"+head.Metadata.Name] = document
			}
		}
	}
	return objects, nil
}

// TestObjectsAreKubernetes: every object is of a kind that we mean to make, and has no field that its kind does not
// know.
func TestObjectsAreKubernetes(t *testing.T) {
	objects, err := render(t, values(func(v map[string]any) {
		v["worker"] = map[string]any{"autoscaling": map[string]any{"enabled": true}}
		v["api"] = map[string]any{"ingress": map[string]any{"enabled": true, "host": "pay.example.com", "tlsSecret": "tls"}}
		v["networkPolicy"] = map[string]any{"privateEgress": []any{map[string]any{"cidr": "10.20.0.0/16", "port": 5432}}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range objects {
		kind, _, _ := strings.Cut(name, "/")
		into := map[string]any{
			"Deployment": &appsv1.Deployment{}, "Job": &batchv1.Job{}, "Service": &corev1.Service{},
			"ConfigMap": &corev1.ConfigMap{}, "ServiceAccount": &corev1.ServiceAccount{},
			"Ingress": &networkingv1.Ingress{}, "NetworkPolicy": &networkingv1.NetworkPolicy{},
			"PodDisruptionBudget":     &policyv1.PodDisruptionBudget{},
			"HorizontalPodAutoscaler": &autoscalingv2.HorizontalPodAutoscaler{},
		}[kind]
		if into == nil {
			t.Errorf("%s: a kind that no test knows", name)
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	for _, want := range []string{"Deployment/pay-api", "Deployment/pay-worker", "Deployment/pay-scanner",
		"Job/pay-migrate", "Service/pay-api", "Ingress/pay-api", "HorizontalPodAutoscaler/pay-worker",
		"PodDisruptionBudget/pay-api", "PodDisruptionBudget/pay-worker", "PodDisruptionBudget/pay-scanner",
		"NetworkPolicy/pay-api", "NetworkPolicy/pay-worker", "NetworkPolicy/pay-scanner", "NetworkPolicy/pay-migrate",
		"ConfigMap/pay-chains", "ServiceAccount/pay"} {
		if objects[want] == "" {
			t.Errorf("there is no %s", want)
		}
	}
}

// TestProcesses: each process runs its own binary of the image, without rights, with probes on its ops port, the chains
// file mounted and the secrets by reference.
func TestProcesses(t *testing.T) {
	objects, err := render(t, values(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api", "worker", "scanner"} {
		var d appsv1.Deployment
		if err := yaml.UnmarshalStrict([]byte(objects["Deployment/pay-"+name]), &d); err != nil {
			t.Fatal(err)
		}
		pod := d.Spec.Template.Spec
		c := pod.Containers[0]
		if *d.Spec.Replicas != 2 || c.Image != "registry.example/ctrip:0.2.0" || c.Command[0] != "/usr/local/bin/"+name {
			t.Errorf("%s: %d of %s %v", name, *d.Spec.Replicas, c.Image, c.Command)
		}
		if !*pod.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem ||
			*c.SecurityContext.AllowPrivilegeEscalation || *pod.AutomountServiceAccountToken {
			t.Errorf("%s has rights that it does not need", name)
		}
		if c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Path != "/healthz" ||
			c.StartupProbe == nil {
			t.Errorf("%s: probes %+v", name, c)
		}
		if len(c.EnvFrom) != 1 || c.EnvFrom[0].SecretRef.Name != "ctrip" {
			t.Errorf("%s: %+v", name, c.EnvFrom)
		}
		env := make(map[string]string)
		for _, e := range c.Env {
			if _, twice := env[e.Name]; twice {
				t.Errorf("%s: %s is set twice", name, e.Name)
			}
			env[e.Name] = e.Value
		}
		for k, want := range map[string]string{"ENV": "production", "CHAINS_FILE": "/etc/ctrip/chains.yaml",
			"SHUTDOWN_GRACE": "55s", "PUBLIC_URL": "https://pay.example.com", "TRUSTED_PROXIES": "10.0.0.0/8"} {
			if env[k] != want {
				t.Errorf("%s: %s is %q", name, k, env[k])
			}
		}
		if c.VolumeMounts[0].MountPath != "/etc/ctrip" || pod.Volumes[0].ConfigMap.Name != "pay-chains" {
			t.Errorf("%s does not get the chains file", name)
		}
		if *pod.TerminationGracePeriodSeconds != 60 {
			t.Errorf("%s gets %d s to stop", name, *pod.TerminationGracePeriodSeconds)
		}
	}
}

// TestChainsFromASecret: a chains file with keys in it comes from a Secret, and no ConfigMap holds it.
func TestChainsFromASecret(t *testing.T) {
	objects, err := render(t, values(func(v map[string]any) { v["chains"], v["chainsSecret"] = "", "rpc" }))
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(objects["Deployment/pay-api"]), &d); err != nil {
		t.Fatal(err)
	}
	if from := d.Spec.Template.Spec.Volumes[0].Secret; from == nil || from.SecretName != "rpc" {
		t.Errorf("volumes %+v", d.Spec.Template.Spec.Volumes)
	}
	if objects["ConfigMap/pay-chains"] != "" {
		t.Error("the chains are in a ConfigMap too")
	}
}

// TestValuesAreChecked: what is missing or does not belong is refused by name.
func TestValuesAreChecked(t *testing.T) {
	for what, change := range map[string]func(map[string]any){
		"repository":     func(v map[string]any) { v["image"] = map[string]any{"repository": ""} },
		"existingSecret": func(v map[string]any) { v["existingSecret"] = "" },
		"PUBLIC_URL":     func(v map[string]any) { v["settings"] = map[string]any{"PUBLIC_URL": "pay.example.com"} },
		"MASTER_KEYS": func(v map[string]any) {
			v["settings"] = map[string]any{"PUBLIC_URL": "https://pay.example.com", "MASTER_KEYS": "k1:x"}
		},
		"chains":                        func(v map[string]any) { v["chains"] = "" },
		"replica":                       func(v map[string]any) { v["replica"] = 3 },
		"terminationGracePeriodSeconds": func(v map[string]any) { v["terminationGracePeriodSeconds"] = 10 },
		"tlsSecret": func(v map[string]any) {
			v["api"] = map[string]any{"ingress": map[string]any{"enabled": true, "host": "pay.example.com"}}
		},
	} {
		if _, err := render(t, values(change)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
