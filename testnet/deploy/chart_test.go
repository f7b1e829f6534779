// Package deploy holds what runs networks beyond one machine; its tests render it.
package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// helm runs the program that HELM names.
func helm(t *testing.T, words ...string) (out string, err error) {
	t.Helper()
	program := os.Getenv("HELM")
	if program == "" {
		t.Skip("no HELM: see make chart")
	}
	cmd := exec.Command(program, words...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	b, err := cmd.Output()
	if err != nil {
		return errs.String(), err
	}
	return string(b), nil
}

// render gives the objects of the chart, decoded strictly: an unknown field fails.
func render(t *testing.T, flags ...string) (objects map[string]any) {
	t.Helper()
	out, err := helm(t, append([]string{"template", "net", "chart", "--namespace", "there"}, flags...)...)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	objects = make(map[string]any)
	for doc := range strings.SplitSeq(out, "\n---\n") {
		var head struct {
			Kind, APIVersion string
			Metadata         struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if head.Kind == "" {
			continue // comments
		}
		kinds := map[string]any{
			"apps/v1 StatefulSet": new(appsv1.StatefulSet), "v1 Service": new(corev1.Service), "v1 Secret": new(corev1.Secret), "v1 ConfigMap": new(corev1.ConfigMap),
			"policy/v1 PodDisruptionBudget": new(policyv1.PodDisruptionBudget), "networking.k8s.io/v1 NetworkPolicy": new(networkingv1.NetworkPolicy),
			"monitoring.coreos.com/v1 ServiceMonitor": new(map[string]any), // is of no module of Kubernetes
		}
		object := kinds[head.APIVersion+" "+head.Kind]
		if object == nil {
			t.Fatalf("an object of kind %s %s", head.APIVersion, head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(doc), object); err != nil {
			t.Fatalf("%s %s: %v\n%s", head.Kind, head.Metadata.Name, err, doc)
		}
		objects[head.Kind+" "+head.Metadata.Name] = object
	}
	return objects
}

// TestChart renders the chart for the three sizes.
func TestChart(t *testing.T) {
	for size, nodes := range map[string]int32{"3": 3, "30": 30, "300": 300} {
		values := "chart/values/" + size + ".yaml"
		if out, err := helm(t, "lint", "chart", "--strict", "-f", values); err != nil {
			t.Errorf("%s nodes: %v: %s", size, err, out)
		}
		objects := render(t, "-f", values)
		set := objects["StatefulSet net-lode"].(*appsv1.StatefulSet)
		if *set.Spec.Replicas != nodes || set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
			t.Errorf("%s nodes: %d, %s", size, *set.Spec.Replicas, set.Spec.PodManagementPolicy)
		}
		peers := objects["Service net-lode-peers"].(*corev1.Service)
		if !peers.Spec.PublishNotReadyAddresses || peers.Spec.ClusterIP != corev1.ClusterIPNone || set.Spec.ServiceName != peers.Name {
			t.Errorf("%s nodes: pods that are not ready cannot be found: %+v", size, peers.Spec)
		}
		pod := set.Spec.Template
		if args := pod.Spec.Containers[0].Args; !slices.Contains(args, "--seed=dns:net-lode-peers.there.svc.cluster.local:19555") {
			t.Errorf("%s nodes: the seed is not the service: %q", size, args)
		}
		for name, selector := range map[string]map[string]string{"Service net-lode-peers": peers.Spec.Selector, "Service net-lode-rpc": objects["Service net-lode-rpc"].(*corev1.Service).Spec.Selector,
			"StatefulSet": set.Spec.Selector.MatchLabels, "PodDisruptionBudget": objects["PodDisruptionBudget net-lode"].(*policyv1.PodDisruptionBudget).Spec.Selector.MatchLabels,
			"NetworkPolicy": objects["NetworkPolicy net-lode"].(*networkingv1.NetworkPolicy).Spec.PodSelector.MatchLabels} {
			for k, v := range selector {
				if pod.Labels[k] != v {
					t.Errorf("%s nodes: %s selects no pod: %s=%s", size, name, k, v)
				}
			}
		}
		if c := pod.Spec.Containers[0]; !*c.SecurityContext.ReadOnlyRootFilesystem || !*pod.Spec.SecurityContext.RunAsNonRoot || c.StartupProbe == nil || c.LivenessProbe == nil || c.ReadinessProbe == nil {
			t.Errorf("%s nodes: %+v", size, c)
		}
	}
}

// TestChartWithAll renders what is off by default.
func TestChartWithAll(t *testing.T) {
	objects := render(t, "--set", "pool.enabled=true", "--set", "serviceMonitor.enabled=true", "--set-string", "chainspec=x", "--set", "network=own",
		"--set", "rpc.auth={alice:00$11}", "--set", "mine.address=a", "--set", "storage.className=fast", "--set", "prune=550")
	for _, name := range []string{"Service net-lode-pool", "ServiceMonitor net-lode", "ConfigMap net-lode-spec", "Secret net-lode-rpc"} {
		if objects[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	if s := objects["Secret net-lode-rpc"].(*corev1.Secret); strings.TrimSpace(s.StringData["lode.conf"]) != "rpcauth=alice:00$11" {
		t.Errorf("%q", s.StringData)
	}
	mounts := make(map[string]bool)
	pod := objects["StatefulSet net-lode"].(*appsv1.StatefulSet).Spec.Template.Spec
	for _, v := range pod.Volumes {
		mounts[v.Name] = true
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		if !mounts[m.Name] && m.Name != "data" {
			t.Errorf("no volume %s", m.Name)
		}
	}
}

// TestChartValuesThatCannotBe are refused, in words.
func TestChartValuesThatCannotBe(t *testing.T) {
	for _, value := range []string{"nodes=0", "nodes=many", "network=../x", "ports.peers=70000", "nodez=3", "dbcache=1", "maxUnavailable=0"} {
		if out, err := helm(t, "template", "net", "chart", "--set", value); err == nil || !strings.Contains(out, "values don't meet the specifications of the schema") {
			t.Errorf("%s: %v: %.300s", value, err, out)
		}
	}
}
