package models

import (
	"strings"
	"unicode/utf8"
)

// IsText reports whether every database takes s as text: it is UTF-8, and no character of it is NUL.
func IsText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
