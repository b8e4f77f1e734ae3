package main

import (
	"fmt"
	"os"
	"strings"
)

const barWidth = 30

// progress draws how far a long command is, over and over in one line, when a person watches.
func (sh *shell) progress(what string, done, total int64) {
	f, ok := sh.err.(*os.File)
	if !ok || sh.json {
		return
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return
	}
	fmt.Fprint(f, "\r"+bar(what, done, total))
	if done >= total {
		fmt.Fprintln(f)
	}
}

// bar is "what [=====     ] done of total".
func bar(what string, done, total int64) string {
	full := barWidth
	if done < total {
		full = int(done * barWidth / total)
	}
	return fmt.Sprintf("%s [%s%s] %d of %d", what, strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), done, total)
}
