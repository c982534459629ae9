package main

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// kstatus judges an object by the library that Flux and kubectl's relatives wait with.
func kstatus(document json.RawMessage) (any, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(document); err != nil { // not encoding/json: generations must be int64
		return nil, err
	}
	result, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	return map[string]string{"status": result.Status.String(), "message": result.Message}, nil
}
