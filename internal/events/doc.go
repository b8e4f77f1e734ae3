// Package events turns an event into the bytes that are stored and sent. It promises that no body leaves it that does not
// fit the JSON Schema of its type or is over 64 KiB, so that a receiver can rely on the published schemas.
package events
