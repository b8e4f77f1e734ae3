// Package receivertest fires at a merchant's receiver what an attacker, a network and a gateway that retries would, and
// tells what it let through: duplicates, one after the other, at once and in batches, stale and future timestamps,
// tampered bodies and headers, cut signatures, strangers' secrets, events out of order and of unknown types.
//
// It promises that everything it expects to be refused differs in one thing from a request that is accepted, so that a
// refusal is about that thing; and that it sends sample payments of test money only (internal/events).
//
// It sees a receiver's answers, and its effects only where the merchant names a URL that shows them; of copies that
// arrive together it can tell that they counted twice only where that page lists what was done for each order. It
// serves ctripctl, and the sample receivers under examples/.
package receivertest
