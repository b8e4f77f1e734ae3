package models

import "time"

// EndpointStatus says whether deliveries to an endpoint are sent, or held.
type EndpointStatus string

// Enabled sends; disabled (by the merchant or by failing) and paused (by the operator) hold.
const (
	EndpointEnabled  EndpointStatus = "enabled"
	EndpointDisabled EndpointStatus = "disabled"
	EndpointPaused   EndpointStatus = "paused"
)

// Mode says whose money something is about: live is real, test is worth nothing.
type Mode string

// Keys are live or test. An endpoint is both where an operator said so, where it is older than modes, and where it is
// the deployment's own.
const (
	ModeLive Mode = "live"
	ModeTest Mode = "test"
	ModeBoth Mode = "both"
)

// Modes lists every mode.
var Modes = []Mode{ModeLive, ModeTest, ModeBoth}

// ModeOf is test or live.
func ModeOf(test bool) Mode {
	if test {
		return ModeTest
	}
	return ModeLive
}

// Takes reports whether an endpoint of this mode gets an event of test money, or of real money.
func (m Mode) Takes(test bool) bool {
	switch m {
	case ModeLive:
		return !test
	case ModeTest:
		return test
	}
	return true
}

// Breaker states of an endpoint, shared by all workers through the database.
const (
	BreakerClosed   = "closed"
	BreakerOpen     = "open"
	BreakerHalfOpen = "half_open"
)

// Endpoint is a URL of a merchant that wants events.
type Endpoint struct {
	ID          string `gorm:"primaryKey"`
	MerchantID  string
	URL         string `gorm:"column:url"`
	Description string
	Events      []string `gorm:"serializer:json"` // exact types, "payment.*" or "*"
	Mode        Mode     `gorm:"default:both"`
	// Filter narrows the events of payments that it gets; nil takes all.
	Filter         *EndpointFilter `gorm:"column:event_filter;serializer:json"`
	Status         EndpointStatus
	DisabledReason string
	IsDefault      bool // the WEBHOOK_URL of the deployment

	HeadersSealed   []byte   // custom headers as sealed JSON, because they may hold credentials
	CAPEM           string   `gorm:"column:ca_pem"`
	SPKIPins        []string `gorm:"column:spki_pins;serializer:json"`
	ClientCertPEM   string   `gorm:"column:client_cert_pem"`
	ClientKeySealed []byte
	Ed25519         bool `gorm:"column:ed25519"` // signed with the gateway's own key too

	// Overrides; nil means the deployment's default.
	TimeoutMS      *int `gorm:"column:timeout_ms"`
	RateLimit      *int // requests a second
	MaxInFlight    *int
	MaxAttempts    *int
	RetryBaseMS    *int `gorm:"column:retry_base_ms"`
	RetryMaxMS     *int `gorm:"column:retry_max_ms"`
	BatchMaxEvents *int
	BatchMaxWaitMS *int `gorm:"column:batch_max_wait_ms"`

	BreakerState     string
	BreakerOpenUntil *time.Time
	BreakerTrips     int
	BreakerProbe     string     // the delivery that may pass while the breaker is half open
	Timeouts         int        // in a row, up to now
	Failures         int        // attempts since the last success
	Slow             bool       // its deliveries wait in the lane of slow endpoints
	NotBefore        *time.Time // Retry-After gates the whole endpoint
	LastSuccessAt    *time.Time
	FailingSince     *time.Time

	Version   int // the ETag of conditional updates
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt *time.Time
}

// TableName names the table as the API names the resource.
func (Endpoint) TableName() string { return "webhook_endpoints" }

// EndpointSecret is one signing secret of an endpoint. Up to three live at once: the one that will be current, the
// current one, and older ones until their overlap ends.
type EndpointSecret struct {
	ID         string `gorm:"primaryKey"`
	EndpointID string
	Sealed     []byte // by the vault, bound to this row
	ActiveFrom time.Time
	ExpiresAt  *time.Time // nil for the newest
	WarnedAt   *time.Time // when the merchant was told that it should be rotated
	CreatedAt  time.Time
}
