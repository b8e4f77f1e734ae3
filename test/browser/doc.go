// Package browser opens the pages of the quickstart in Debian's Chromium, wide and narrow, light and dark, and does in
// them what people do. What the console calls an error, a file that is not there and a page wider than its screen fail.
// It holds no code but tests.
package browser
