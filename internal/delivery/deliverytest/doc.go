// Package deliverytest gives tests what deliveries need: a vault, a client that may reach loopback, the services of
// endpoints and redelivery, merchants, events and deliveries, on a store of the test's choice. Nothing in it is a fake.
package deliverytest
