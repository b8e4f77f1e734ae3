package models

// clipAt is how many characters of a stranger's text are shown.
const clipAt = 64

// Clip shortens what a stranger sent before it is shown or logged.
func Clip(s string) string {
	if r := []rune(s); len(r) > clipAt {
		return string(r[:clipAt]) + "…"
	}
	return s
}
