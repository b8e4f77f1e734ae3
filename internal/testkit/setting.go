package testkit

import "os"

// Setting is an environment variable by which whoever runs a test program steers it, CHAOS_SEED for example; "" when it
// is not set. What steers the gateway itself is read by config alone.
func Setting(name string) string { return os.Getenv(name) }
