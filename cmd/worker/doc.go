// Command worker delivers webhooks: the Asynq servers, the sweeper and retention.
package main
