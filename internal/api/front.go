package api

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/ctrip-gateway/ctrip/internal/api/reference"
)

//go:embed front.html
var frontPage []byte

// front is what somebody finds who opens the gateway's address: people a page with the ways on, programs the same as
// JSON.
func (s *Server) front(c echo.Context) error {
	c.Response().Header().Add("Vary", "Accept")
	if strings.Contains(c.Request().Header.Get("Accept"), "text/html") {
		return static("text/html; charset=utf-8", reference.Policy, frontPage)(c)
	}
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.JSON(http.StatusOK, map[string]string{"name": "cTrip payment gateway", "api": "/api/v1", "docs": "/docs",
		"openapi": "/openapi.json", "portal": "/portal"})
}
