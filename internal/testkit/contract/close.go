package contract

import "github.com/getkin/kin-openapi/openapi3"

// Close lets the objects of a document have no members but those that it names. The published file leaves answers open,
// since clients must bear what later versions add; what this version answers has nothing that the file does not tell
// of.
func Close(doc *openapi3.T) {
	seen := make(map[*openapi3.Schema]bool)
	for _, s := range doc.Components.Schemas {
		closeSchema(s, seen)
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, answer := range op.Responses.Map() {
				for _, media := range answer.Value.Content {
					closeSchema(media.Schema, seen)
				}
			}
		}
	}
}

func closeSchema(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool) {
	if ref == nil || ref.Value == nil || seen[ref.Value] {
		return
	}
	s := ref.Value
	seen[s] = true
	if more := s.AdditionalProperties; s.Type.Is(openapi3.TypeObject) && len(s.Properties) > 0 && more.Has == nil &&
		more.Schema == nil {
		no := false
		s.AdditionalProperties.Has = &no
	}
	for _, p := range s.Properties {
		closeSchema(p, seen)
	}
	closeSchema(s.Items, seen)
	closeSchema(s.AdditionalProperties.Schema, seen)
	for _, list := range []openapi3.SchemaRefs{s.AllOf, s.OneOf, s.AnyOf} {
		for _, inner := range list {
			closeSchema(inner, seen)
		}
	}
}
