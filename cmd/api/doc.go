// Command api serves the REST API, the checkout page, the portal and the API reference.
package main
