// Command scanner follows the chains and records what they hold for our payments.
package main
