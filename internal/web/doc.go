// Package web serves the two pages that people look at: the checkout page of a payment, which its payer opens by a link
// that cannot be guessed, and the portal, where a merchant who holds an API key sees payments, endpoints and
// deliveries.
//
// It promises pages that work without JavaScript, load nothing from elsewhere, escape whatever a merchant, a payer or a
// receiver wrote, and carry a content security policy that forbids inline scripts and styles. A portal session is the
// key it was opened with: what the key may not see is not shown, and when the key ends, so does the session. The token
// of a checkout link is never logged.
//
// It decides nothing about payments: status, sums and flags are read as internal/payments left them. It changes nothing
// except through internal/redelivery. It serves payers and merchants; internal/app mounts it under [Prefixes].
package web
