package telemetry

import (
	"bytes"
	"io"
	"log"
	"log/slog"
)

// unsolicited is how net/http begins to tell of bytes that come when nothing was asked, such as the body of a 204. What
// follows are those bytes.
const unsolicited = "Unsolicited response received on idle HTTP channel"

// CaptureStandardLog makes lines of what the standard library writes to its own log, without what a receiver sent.
func CaptureStandardLog(to *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(StandardLog(to))
}

// StandardLog is the writer that [CaptureStandardLog] sets.
func StandardLog(to *slog.Logger) io.Writer { return standardLog{to} }

type standardLog struct{ to *slog.Logger }

func (w standardLog) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(unsolicited)) {
		w.to.Debug("http.unsolicited_answer", "bytes", "not shown")
	} else {
		w.to.Warn("library.said", "text", string(bytes.TrimSpace(line)))
	}
	return len(line), nil
}
