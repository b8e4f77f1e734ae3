package api

import (
	"net/http"
	"regexp"

	"github.com/labstack/echo/v4"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

var logoName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// logoPolicy lets a browser that opens a logo by itself do nothing but show it.
const logoPolicy = "default-src 'none'; img-src 'self'; sandbox; frame-ancestors 'none'"

// logo serves an image that a merchant gave, by the hash of its bytes, under the type that its content was found to
// have.
func logo(s *store.Store) echo.HandlerFunc {
	return func(c echo.Context) error {
		name := c.Param("hash")
		if !logoName.MatchString(name) {
			return NewProblem(CodeNotFound, "There is no such logo.")
		}
		l, err := s.Logo(c.Request().Context(), name)
		if err != nil {
			return err
		}
		h := c.Response().Header()
		h.Set("Content-Security-Policy", logoPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Disposition", "inline")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "public, max-age=86400, immutable")
		return c.Blob(http.StatusOK, l.MediaType, l.Image)
	}
}
