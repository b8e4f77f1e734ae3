package config

import "os"

// Variable returns the value of an environment variable that somebody named in a flag, and is no setting of ours. A
// variable that is not set is the empty Secret.
func Variable(name string) Secret { return Secret(os.Getenv(name)) }
