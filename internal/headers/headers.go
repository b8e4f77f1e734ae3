package headers

import "net/http"

// NoContent is the content security policy of answers that no browser needs to render: JSON and the like.
const NoContent = "default-src 'none'; frame-ancestors 'none'"

// Common sets what every answer has.
func Common(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// Public sets what an answer has that strangers can ask for: Common, a content security policy, and with https the
// demand that browsers keep to it for a year.
func Public(h http.Header, policy string, https bool) {
	Common(h)
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if https {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// Page sets what a page for people has: Public, a window of its own, no search engines and none of the browser's
// devices.
func Page(h http.Header, policy string, https bool) {
	Public(h, policy, https)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	h.Set("X-Robots-Tag", "noindex, nofollow")
}
