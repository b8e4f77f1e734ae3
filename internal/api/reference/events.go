package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// addEvents draws the requests that endpoints get. Headers and expected answers are those of every sent.
func (b builder) addEvents(page *Page) error {
	webhooks, err := b.spec.Webhooks()
	if err != nil {
		return err
	}
	for _, v := range b.doc.Components.Schemas["EventType"].Value.Enum {
		name := fmt.Sprint(v)
		sent := webhooks[name].Post
		body := sent.RequestBody.Content["application/json"]
		var example any
		if err := json.Unmarshal(body.Example, &example); err != nil {
			return fmt.Errorf("reference: the example of %s: %w", name, err)
		}
		page.Events = append(page.Events, event{
			Name: name, About: sent.Summary, Schema: body.Schema.Ref,
			Example: pretty(b.doc.Components.Schemas["Event"].Value, example),
		})
		if page.Sent != nil {
			continue
		}
		for _, p := range sent.Parameters {
			row := b.row(p.Name, p.Schema, p.Required)
			row.About = p.Description
			page.Sent = append(page.Sent, row)
		}
		for _, status := range slices.Sorted(maps.Keys(sent.Responses)) {
			page.Expected = append(page.Expected, answer{Status: status, About: sent.Responses[status].Description})
		}
	}
	return nil
}
