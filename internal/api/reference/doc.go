// Package reference renders the API reference out of an OpenAPI file: as the page at /docs and as Markdown for
// docs/api.md.
//
// It promises that both say the same, name every operation, field, event type and problem code of the file, and come
// out alike every time. It serves nothing by itself: internal/api does, under [Policy].
package reference
