// Package guardtest is one suite for every [webhook.Guard]: ours, and one of your own.
package guardtest
