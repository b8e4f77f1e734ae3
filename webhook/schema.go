package webhook

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
)

//go:embed schemas/*.json
var schemas embed.FS

// SchemaFS holds one JSON Schema (draft 2020-12) per event type, <type>.json, and defs.json, to which they refer by
// relative name.
func SchemaFS() fs.FS {
	sub, err := fs.Sub(schemas, "schemas")
	if err != nil {
		panic(err) // only an invalid path can fail
	}
	return sub
}

// Schema returns the JSON Schema of the bodies of type t as one self-contained document, with what it needs of
// defs.json under $defs. It is nil for an unknown type. Validators should be compiled once and kept.
func Schema(t EventType) []byte {
	if !slices.Contains(EventTypes(), t) {
		return nil
	}
	own, shared := mustRead(string(t)+".json"), mustRead("defs.json")
	var defs struct {
		Defs json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(shared, &defs); err != nil {
		panic(fmt.Sprintf("webhook: embedded defs.json: %v", err))
	}
	own = bytes.ReplaceAll(own, []byte(`"defs.json#/`), []byte(`"#/`))
	own = bytes.TrimSuffix(bytes.TrimSpace(own), []byte("\n}"))
	return slices.Concat(own, []byte(",\n  \"$defs\": "), defs.Defs, []byte("\n}\n"))
}

func mustRead(name string) []byte {
	b, err := schemas.ReadFile("schemas/" + name)
	if err != nil {
		panic(fmt.Sprintf("webhook: embedded schema: %v", err))
	}
	return b
}
