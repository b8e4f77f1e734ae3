package headers_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/ctrip-gateway/ctrip/internal/headers"
)

func ExamplePublic() {
	h := make(http.Header)
	headers.Public(h, headers.NoContent, true)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Println(name+":", h.Get(name))
	}
	// Output:
	// Cache-Control: no-store
	// Content-Security-Policy: default-src 'none'; frame-ancestors 'none'
	// Cross-Origin-Resource-Policy: same-origin
	// Referrer-Policy: no-referrer
	// Strict-Transport-Security: max-age=31536000
	// X-Content-Type-Options: nosniff
	// X-Frame-Options: DENY
}

// A page may set a policy of its own, and has more headers than an answer of the API.
func ExamplePage() {
	api, page := make(http.Header), make(http.Header)
	headers.Public(api, headers.NoContent, false)
	headers.Page(page, "default-src 'self'", false)
	for _, name := range slices.Sorted(maps.Keys(page)) {
		if api.Get(name) != page.Get(name) {
			fmt.Println(name+":", page.Get(name))
		}
	}
	// Output:
	// Content-Security-Policy: default-src 'self'
	// Cross-Origin-Opener-Policy: same-origin
	// Permissions-Policy: camera=(), geolocation=(), microphone=(), payment=()
	// X-Robots-Tag: noindex, nofollow
}
