// Package egress is the only code that opens a connection to an address which somebody else chose: a merchant's URL.
//
// It promises:
//   - Nothing on the deny table (deny.go) is ever connected to, unless a rule of WEBHOOK_ALLOW allows exactly that
//     address and port, or that name and port and where it leads. A name is resolved, every address among the answers
//     is checked, and one denied answer refuses the name; the address is checked again on the socket, on every dial.
//     Only ports 80 and 443 are used unless a rule allows another.
//   - [Client.CheckURL] refuses by form alone what can be refused without resolving. [Client.Do] applies the same
//     rules.
//   - A request opens at most three connections. It is sent a second time only when a kept connection ended before any
//     byte of an answer or the receiver refused to look at it, and never after a timeout. A connection takes new
//     requests for a minute.
//   - No redirect is followed, no proxy of the environment is used, TLS is 1.2 or later and never skipped. Pins
//     come on top of certificate verification, not instead of it.
//   - Answers are bounded: headers, body after decompression, and time in all. The status line is the verdict; a body
//     that breaks off afterwards is reported beside it.
//   - Every failure has exactly one [Kind], and no message holds a secret, an address of our own network or the URL's
//     query.
//   - Connections are shared only between requests of one merchant with equal TLS settings.
//
// It does not sign, retry, limit rates or judge a status. The resolver and an egress proxy (EGRESS_PROXY) are the
// operator's own choice and are dialed unchecked; through a proxy the checked address itself is asked for, so that the
// proxy resolves nothing. It serves internal/delivery, internal/endpoints (URL and TLS settings of an endpoint),
// internal/answer and internal/admin.
package egress
