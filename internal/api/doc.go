// Package api is what merchants call: REST under /api/v1, the OpenAPI file at /openapi.yaml and its reference at /docs.
//
// openapi.yaml is the source. Types and routes are generated from it, every request is held against it before a handler
// sees it, and the reference page is drawn from it. The package promises that a request which does not match the file
// is answered by a [Problem] that names every faulty field; that every answer carries a request id; that every request
// leaves one line in the log, without its query string, body or credentials; and that a failure of ours shows nothing
// of our insides.
//
// It decides nothing: rules about payments and webhooks live in the packages below. Echo is known here and nowhere else
// but where internal/app mounts it. It serves merchants, and whoever reads the reference.
package api

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config oapi-types.yaml -o types.gen.go openapi.yaml
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config oapi-codegen.yaml -o server.gen.go openapi.yaml
//go:generate go test -count 1 -run ^TestAPIPage$ . -update
