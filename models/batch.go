package models

import "time"

// Batch is several events in one signed request. It is formed once; a retry sends the same bytes under the same id.
type Batch struct {
	ID         string `gorm:"primaryKey"` // its webhook-id
	MerchantID string
	EndpointID string
	Events     int
	Body       []byte
	CreatedAt  time.Time
}
