// Package headers holds the security headers of HTTP answers in one place, for the API, the pages of internal/web and
// the ops listener. It promises that every answer forbids frames, guessing of content types, referrers and caches.
// Whoever needs something else for one answer, such as a policy that admits a style sheet, overwrites that header
// afterwards.
package headers
