package delivery

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/ctrip-gateway/ctrip/models"
)

// HeaderNames lists the names of an endpoint's custom headers; their values may be credentials and are not shown.
func (s *Service) HeaderNames(e models.Endpoint) ([]string, error) {
	if len(e.HeadersSealed) == 0 {
		return nil, nil
	}
	plain, err := s.Vault.Open(e.HeadersSealed, models.HeadersAAD(e.ID))
	if err != nil {
		return nil, fmt.Errorf("delivery: headers of %s: %w", e.ID, err)
	}
	var custom map[string]string
	if err := json.Unmarshal(plain, &custom); err != nil {
		return nil, fmt.Errorf("delivery: headers of %s: %w", e.ID, err)
	}
	return slices.Sorted(maps.Keys(custom)), nil
}
