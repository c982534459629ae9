package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	helm "github.com/fluxcd/helm-controller/api/v2"
	kustomize "github.com/fluxcd/kustomize-controller/api/v1"
	source "github.com/fluxcd/source-controller/api/v1"
)

// flux reads an object of Flux into Flux's own type, strictly: a field that the type does not have is an error.
func flux(document json.RawMessage) (any, error) {
	var head struct{ APIVersion, Kind string }
	if err := json.Unmarshal(document, &head); err != nil {
		return nil, err
	}
	known := map[string]any{
		helm.GroupVersion.String() + " HelmRelease":        &helm.HelmRelease{},
		kustomize.GroupVersion.String() + " Kustomization": &kustomize.Kustomization{},
		source.GroupVersion.String() + " GitRepository":    &source.GitRepository{},
		source.GroupVersion.String() + " OCIRepository":    &source.OCIRepository{},
	}
	typed := known[head.APIVersion+" "+head.Kind]
	if typed == nil {
		return nil, fmt.Errorf("%s %s is no kind of Flux that is known here", head.APIVersion, head.Kind)
	}
	strict := json.NewDecoder(bytes.NewReader(document))
	strict.DisallowUnknownFields()
	if err := strict.Decode(typed); err != nil {
		return nil, err
	}
	return map[string]string{"kind": head.Kind}, nil
}
