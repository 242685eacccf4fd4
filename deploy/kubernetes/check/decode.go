package check

import (
	"fmt"
	"strings"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
)

// decode reads the documents of a manifest into the types of their APIs. Unknown and duplicate fields are errors.
func decode(manifest string) ([]runtime.Object, error) {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, certmanager.AddToScheme, monitoring.AddToScheme} {
		if err := add(known); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(known, serializer.EnableStrict).UniversalDeserializer()
	var out []runtime.Object
	for _, document := range documents(manifest) {
		object, kind, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			first, _, _ := strings.Cut(document, "\n")
			return nil, fmt.Errorf("%v (%s): %w", kind, first, err)
		}
		out = append(out, object)
	}
	return out, nil
}
