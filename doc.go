// Package ctrip is the root of the cTrip gateway, a self-hosted, non-custodial EVM payment gateway. It holds no code;
// ARCHITECTURE.md is the map, and architecture_test.go holds the code against it.
package ctrip
