// What a user of client-go's informers does, against the cluster of KUBECONFIG.
//
// Prints the events it got; whatever differs from run to run is left out. In between it asks, on a
// line of its own, for a restart of the cluster, and goes on when it reads a line. Ends with a
// failure when something is not as on any cluster.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	namespace = "go"
	// Nothing takes longer, unless it never ends.
	patience = 90 * time.Second
)

func main() {
	if err := story(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func story(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps(namespace)

	fmt.Println("== A list, and what happens then")
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	create := func(name, n, watched string) error {
		_, err := maps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"watched": watched}},
			Data:       map[string]string{"n": n},
		}, metav1.CreateOptions{})
		return err
	}
	update := func(name, n string) error {
		found, err := maps.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		found.Data["n"] = n
		_, err = maps.Update(ctx, found, metav1.UpdateOptions{})
		return err
	}
	mark := func(name, watched string) error {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"watched":%q}}}`, watched)
		_, err := maps.Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	}
	remove := func(name string) error {
		return maps.Delete(ctx, name, metav1.DeleteOptions{})
	}

	events := make(chan string, 100)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) {
			options.LabelSelector = "watched=yes"
		}),
	)
	informer := factory.Core().V1().ConfigMaps()
	if _, err := informer.Informer().AddEventHandler(teller("", events)); err != nil {
		return err
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	applications := dynamicinformer.NewFilteredDynamicSharedInformerFactory(untyped, 0, namespace, nil).
		ForResource(schema.GroupVersionResource{
			Group: "sparkoperator.k8s.io", Version: "v1beta2", Resource: "sparkapplications",
		})
	if _, err := applications.Informer().AddEventHandler(teller("application ", events)); err != nil {
		return err
	}

	stop := make(chan struct{})
	defer close(stop)
	// A step is something that was done and what comes of it; after a failure there are no more.
	var failed error
	step := func(done error, until ...string) {
		if failed == nil {
			failed = done
		}
		for _, expected := range until {
			if failed != nil {
				return
			}
			select {
			case event := <-events:
				fmt.Println(event)
				if event != expected {
					failed = fmt.Errorf("got %q, expected %q", event, expected)
				}
			case <-time.After(patience):
				failed = fmt.Errorf("no event: %q", expected)
			}
		}
	}
	known := func() error {
		found, err := informer.Lister().ConfigMaps(namespace).List(labels.Everything())
		names := []string{}
		for _, one := range found {
			names = append(names, one.Name+" "+one.Data["n"])
		}
		slices.Sort(names)
		fmt.Println("known:", strings.Join(names, ", "))
		return err
	}

	step(create("a", "1", "yes"))
	step(create("ignored", "1", "no"))
	factory.Start(stop)
	go applications.Informer().Run(stop)
	if !cache.WaitForCacheSync(stop, informer.Informer().HasSynced, applications.Informer().HasSynced) {
		return fmt.Errorf("the caches are not filled")
	}
	step(nil, "add a 1")
	step(update("a", "2"), "update a 2")
	step(create("b", "1", "yes"), "add b 1")
	step(remove("b"), "delete b 1")
	step(mark("ignored", "yes"), "add ignored 1")
	step(mark("ignored", "no"), "delete ignored 1")
	step(create("b", "2", "yes"), "add b 2")
	step(apply(ctx, untyped), "application add pi")
	step(known())
	if failed != nil {
		return failed
	}

	fmt.Println("== After a restart of the cluster")
	fmt.Println("please restart")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	step(create("c", "1", "yes"), "add c 1")
	step(update("a", "3"), "update a 3")
	step(remove("b"), "delete b 2")
	step(known())
	if failed != nil {
		return failed
	}

	fmt.Println("== The end")
	err = client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{})
	if err != nil {
		return err
	}
	_, err = maps.Get(ctx, "nobody", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("not refused: %w", err)
	}
	fmt.Println("refused:", err)
	return nil
}

// teller sends what happens to a channel. After a new list everything is said to be updated; what
// is as it was is left out.
func teller(prefix string, events chan<- string) cache.ResourceEventHandler {
	describe := func(object any) string {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		accessor, err := meta.Accessor(object)
		if err != nil {
			return err.Error()
		}
		n := ""
		if configMap, ok := object.(*corev1.ConfigMap); ok {
			n = configMap.Data["n"]
		}
		return strings.TrimSpace(accessor.GetName() + " " + n)
	}
	revision := func(object any) string {
		accessor, err := meta.Accessor(object)
		if err != nil {
			return err.Error()
		}
		return accessor.GetResourceVersion()
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { events <- prefix + "add " + describe(object) },
		UpdateFunc: func(before, object any) {
			if prefix == "" && revision(before) != revision(object) {
				events <- prefix + "update " + describe(object)
			}
		},
		DeleteFunc: func(object any) { events <- prefix + "delete " + describe(object) },
	}
}

// apply creates an application by server-side apply, suspended, so that nothing runs.
func apply(ctx context.Context, client dynamic.Interface) error {
	applications := client.Resource(schema.GroupVersionResource{
		Group: "sparkoperator.k8s.io", Version: "v1beta2", Resource: "sparkapplications",
	})
	application := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "sparkoperator.k8s.io/v1beta2",
		"kind":       "SparkApplication",
		"metadata":   map[string]any{"name": "pi", "namespace": namespace},
		"spec": map[string]any{
			"type":                "Scala",
			"mode":                "cluster",
			"suspend":             true,
			"sparkVersion":        "4.3.0",
			"image":               "apache/spark:4.3.0",
			"mainClass":           "org.apache.spark.examples.SparkPi",
			"mainApplicationFile": "local:///opt/spark/examples/jars/spark-examples.jar",
			"driver":              map[string]any{"cores": int64(1)},
			"executor":            map[string]any{"instances": int64(1)},
		},
	}}
	options := metav1.ApplyOptions{FieldManager: "go"}
	_, err := applications.Namespace(namespace).Apply(ctx, "pi", application, options)
	return err
}
