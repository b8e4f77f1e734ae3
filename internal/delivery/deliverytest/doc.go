// Package deliverytest gives tests a deployment in miniature: a vault, a client that may reach loopback, the deeds on
// endpoints, merchants, events and deliveries, on a store of the test's choice. Nothing in it is a fake.
package deliverytest
